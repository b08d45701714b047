"""Dialogue situations on the way: hotel, lost luggage, train ticket."""

from .scene import Scene
from .words import MORNING_TIMES

AIRPORTS = "Boston; Chicago; Denver; Seattle; Paris; London; Rome; Madrid; Toronto; Berlin; Lisbon"

STATIONS = "Boston; Chicago; Denver; Seattle; Toronto; Portland; Houston; Dallas; Buffalo; Atlanta"

NIGHTS = "one night; two nights; three nights; four nights; five nights; a week"


def hotel(s: Scene) -> None:
    """A guest checks in and does not get the room that was wanted, or pays for it."""
    s.draw(
        "wish",
        (
            "a room with a sea view; a room with a balcony; a room with a bathtub; a quiet room; "
            "a room on the top floor; a room with two beds; a room near the elevator; a larger "
            "room; a room with a desk; a non-smoking room; a room with a kitchen; a corner room"
        ),
    )
    s.draw(
        "offer",
        (
            "free breakfast; a ten percent discount; free parking; a late checkout; a free "
            "dinner; a twenty percent discount; free use of the spa; a bottle of wine; free "
            "drinks at the bar"
        ),
    )
    s.draw("nights", NIGHTS)
    s.draw("extra", "$10; $15; $20; $25; $30; $35; $40; $50")
    s.draw("room", "room 204; room 312; room 118; room 407; room 521; room 609; room 230")
    s.person("A")
    s.slip("nights", NIGHTS)
    s.welcome("{hello}.", "Welcome to the [Park|Grand|Lake] Hotel.")
    s.a(
        "{hello}. I have a [room|reservation] for {name}, {nights}.",
        "I [booked|reserved] a room for {nights}. My name is {name}.",
        "I'd like to check in. {name}, for {nights}.",
    )
    s.check("nights")
    s.b("{moment}. [Yes, here it is|I have it here|Welcome, {title}].", "Welcome, {title}.")
    s.wait()
    s.a(
        "Could I [have|get] {wish}?",
        "If possible, I'd like {wish}.",
        "[Is there any chance of|Do you have] {wish}?",
        "By the way, I'd prefer {wish}.",
    )
    if s.chance(0.3):
        s.b("We do have one, but it's {extra} more per night.", "Yes, for {extra} more a night.")
        if s.chance(0.3):
            s.a("Hmm. Is breakfast included?", "Does that include breakfast?")
            s.b("Yes, of course.", "Yes, everything is included.")
        s.a("[That's fine|OK], I'll take it.", "{great}. [Let's do that|I'll take it].")
        s.b("Here's your key. You're in {room}.", "{great}. You're in {room}.", p=0.4)
        s.summarize(
            (
                "{A} checks in for {nights} and asks for {wish}. {B} has one for {extra} more per "
                "night, and {A} takes it."
            ),
            key="wish extra",
        )
        return
    s.b(
        "{sorry} [they're all taken|we don't have one left|there are none left] tonight.",
        "{sorry} we have nothing like that [free|left].",
    )
    if s.chance(0.5):
        s.a("[That's a shame|What a pity|Oh no]. Are you sure?", "Oh. That's disappointing.")
        s.b("[I can|But I can|We could] offer you {offer}.", "How about {offer} to make up for it?")
    else:
        s.b("[But I can|I can] offer you {offer}[ instead|].")
    if s.chance(0.75):
        s.a(
            "[That sounds fair|That's kind of you|OK, that works]. I'll take it.",
            "All right, I'll take that.",
        )
        s.b(
            "{great}. You're in {room}.",
            "Here's your key. [Enjoy your stay|You're in {room}].",
            p=0.4,
        )
        outcome = "and {A} accepts."
    else:
        s.a(
            "No, thanks. I'd rather try another hotel.",
            "Thanks, but I'll [look for|find] another hotel.",
        )
        s.b(
            "I understand. I'll cancel [your booking|it] for you.",
            "That's a pity. I'll cancel it.",
            p=0.4,
        )
        outcome = "but {A} prefers another hotel."
    s.summarize(
        "{A} asks for {wish} for {nights}, but none is left. {B} offers {offer}, " + outcome,
        key="wish offer",
    )


def luggage(s: Scene) -> None:
    """A passenger's bag has not arrived; it is found, or the airline pays for clothes."""
    bags = (
        "a blue suitcase; a black suitcase; a red backpack; a green bag; a brown leather bag; "
        "a gray suitcase; a yellow backpack; a black sports bag; a silver suitcase; a white "
        "bag"
    )
    s.draw("bag", bags)
    s.draw("city", AIRPORTS)
    s.draw("other", AIRPORTS)
    s.draw(
        "where",
        (
            "to the hotel; to the office; to my apartment > home; to my parents' house > to the "
            "parents' house"
        ),
    )
    s.draw(
        "when",
        (
            "tonight; tomorrow morning; by noon; this evening; tomorrow afternoon; on Monday; on "
            "Friday"
        ),
    )
    s.draw("money", "$50; $60; $80; $100; $120; $150")
    s.slip("bag", bags)
    opening = s.rng.randrange(4)
    if opening == 0:
        s.welcome("{hello}.", p=1)
        s.a("[My luggage hasn't arrived|I can't find my luggage]. I [flew in|came] from {city}.")
    elif opening in (1, 2):
        s.welcome("{hello}.")
        s.a(
            "{hello}. I'm missing {bag} from the {city} flight.",
            "I came from {city}, and I can't find my luggage. It's {bag}.",
        )
    else:
        s.a(
            "Excuse me, my luggage [is missing|didn't arrive|hasn't come out].",
            "{hello}. I think you've lost my luggage.",
        )
        s.b(
            "[I'm sorry to hear that|Oh dear]. Where did you fly from?",
            "I'm sorry. Which flight was it?",
        )
        s.a("From {city}.", "From {city}, [an hour ago|this morning].")
    if opening in (0, 3):
        s.b("{see}. What does your bag look like?", "Can you describe your bag, please?")
        s.a("It's {bag}.", "{um}it's {bag}.", "I have {bag}.")
    if s.chance(0.15):
        s.b("[Is there anything special about it|How can we recognize it]?")
        s.a("It has [a red ribbon|a name tag|a blue sticker|my name] on it.")
    s.wait(0.15)
    if s.chance(0.65):
        s.b(
            "I've found it. It's still in {other}.",
            "Good news. It's in {other}.",
            "I see your bag went to {other}.",
        )
        s.a(
            "[Oh no|Really]! When will I get it?",
            "How did that happen? I need it!",
            "{other}! And when will it get here?",
        )
        s.b("[It will be here|We'll have it] {when}.", "It should arrive {when}.")
        s.a("[Can|Could] you [send|deliver|bring] it {where}?", "Please send it {where}.")
        s.b("[Of course|Certainly]. I'm very sorry.", "Sure. Please write down the address.", p=0.4)
        s.summarize(
            (
                "{A} arrives from {city} without {bag}. {B} finds it in {other} and will send "
                "it {where} {when}."
            ),
            (
                "{A} loses {bag} on the flight from {city}. {B} finds it in {other} and will "
                "send it {where} {when}."
            ),
            key="bag city",
        )
        return
    s.b("{sorry} [we don't know where it is|it isn't in the system].", "{sorry} I can't find it.")
    s.a("What should I do now?", "But all my clothes are in it!", "But I really need it!")
    s.b(
        "[Buy what you need|You can buy clothes], and we'll pay up to {money}.",
        "We'll give you {money} for clothes.",
    )
    s.a("[And when|When] will [I hear from you|you call me]?", "OK. And then?")
    s.b("We'll call you {when}.", "I'll call you {when}.")
    s.a("OK. [I hope you find it|Thank you].", p=0.4)
    s.summarize(
        (
            "{A} arrives from {city} without {bag}. {B} cannot find it, offers {money} for "
            "clothes and will call {when}."
        ),
        key="bag city",
    )


def train(s: Scene) -> None:
    """A traveler buys a ticket, but the train that was wanted cannot be had."""
    s.draw("city", STATIONS)
    s.draw("wanted", MORNING_TIMES)
    s.draw("time", "12:15; 12:40; 1:20; 1:45; 2:10; 2:50; 3:15; 3:40; 4:20; 5:10")
    s.draw("price", "$18; $24; $32; $36; $45; $48; $54; $60; $75; $82")
    s.draw(
        "trouble",
        (
            "sold out; canceled because of the snow; canceled today; full; not running this week; "
            "already gone > gone"
        ),
    )
    s.slip("city", STATIONS)
    s.welcome("Next, please.", "{hello}.")
    if s.chance(0.5):
        s.a(
            "A ticket to {city} for the {wanted} train, please.",
            "{hello}. I'd like to take the {wanted} train to {city}.",
        )
    else:
        s.a(
            "[A|One] ticket to {city}, please.",
            "I'd like [a|one] ticket to {city}.",
            "{hello}. I need to get to {city} today.",
        )
        s.check("city")
        s.b(
            "[Which train|What time] would you like?", "When [do you want|would you like] to leave?"
        )
        s.a(
            "[The one at|At] {wanted}[, if possible|].",
            "Is there one at {wanted}?",
            "{um}at {wanted}, I think.",
        )
    s.b("{sorry} that [one|train] is {trouble}.", "{sorry} the {wanted} train is {trouble}.")
    s.a("Oh. [What's the next one|When is the next train]?", "Really? Is there another one?")
    s.b("[There's one|The next one leaves] at {time}.", "You could take the one at {time}.")
    if s.chance(0.25):
        s.a("Is it direct?", "Do I have to change?")
        s.b(
            "You [have to|need to] change in [Springfield|Albany|Salem].",
            "You change trains in [Springfield|Albany|Salem].",
        )
    if s.chance(0.75):
        s.draw(
            "seat",
            (
                "a window seat; an aisle seat; a first-class seat; a seat in the quiet car; a "
                "seat in the front car"
            ),
        )
        s.a(
            "[OK|Fine]. How much is {seat}?",
            "I'll take {seat}, please.",
            "[OK|All right]. I'd like {seat}.",
        )
        s.b("[That's|It's|That will be] {price}.", "{price}, please.")
        s.a("Here you are.", "{great}. [Here you go|Thank you].", p=0.4)
        s.summarize(
            (
                "The {wanted} train to {city} is {trouble}, so {A} buys {seat} on the {time} "
                "train for {price}."
            ),
            key="city time",
        )
        return
    s.draw(
        "reason",
        ("a wedding; a job interview; a meeting; an exam; a concert; a flight; a funeral; a party"),
    )
    s.a(
        "That's too late. I have {reason} [there|this afternoon].",
        "I can't wait. I'd miss {reason}.",
    )
    s.b(
        "[There's|You could take] a bus in [ten|twenty] minutes.",
        "You could take the bus. It leaves soon.",
    )
    s.a("{great}. I'll take the bus[, then|].", "The bus it is. Thanks for your help.")
    s.b("[It stops|The bus stop is] [outside|across the street].", p=0.4)
    s.summarize(
        (
            "The {wanted} train to {city} is {trouble}, and the next leaves at {time}. {A} has "
            "{reason}, so {A} takes the bus."
        ),
        key="city time",
    )
