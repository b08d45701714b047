"""Dialogue situations in free time: restaurant, gym, an invitation."""

from .scene import Scene
from .words import AFTERNOON_TIMES, DAYS, EVENING_TIMES


def restaurant(s: Scene) -> None:
    """A guest books a table on the phone; the time that was wanted is gone."""
    people = "two; three; four; five; six; seven; eight; ten"
    s.draw("people", people)
    s.draw("day", DAYS)
    s.draw("wanted", EVENING_TIMES)
    s.draw("time", EVENING_TIMES)
    s.draw(
        "occasion",
        (
            "my birthday > a birthday; our anniversary > an anniversary; my graduation > a "
            "graduation; a family reunion; a business dinner; my mother's birthday > a mother's "
            "birthday; a farewell dinner; my promotion > a promotion; my son's birthday > a son's "
            "birthday; a class reunion"
        ),
    )
    if s.chance(0.25):
        s.person("A")
    s.slip("day", DAYS)
    s.slip("people", people, 0.1)
    s.welcome("{hello}.", "[Blue Moon|Bella Roma|Golden Fork] restaurant.", p=0.4)
    steps = ["people", "time"]
    s.rng.shuffle(steps)
    if s.chance(0.5):
        steps.remove("people")
        s.a(
            "{hello}. I'd like [to book a table|a table] for {people} on {day}.",
            "Do you have a table for {people} on {day}?",
            "Can I book a table for {people}? It's for {day}.",
        )
    else:
        s.a(
            "{hello}. I'd like to [book|reserve] a table for {day}.",
            "Do you have a free table [on|this] {day}?",
            "Can I book a table for {day}[, please|]?",
        )
    s.check("day")
    for step in steps:
        if step == "people":
            s.b(
                "[For how many people|How many people]?",
                "[Sure|Of course]. How many [are you|will you be]?",
            )
            s.a("[We are|There will be] {people}.", "{um}{people} of us.", "{people}, I think.")
        else:
            s.b("[At what|What] time?", "What time [do you want to come|would you like]?")
            s.a("[At|Around|About] {wanted}.", "{wanted}, if possible.")
    s.b(
        "{sorry} [we're full then|that's taken]. How about {time}?",
        "We're full at {wanted}, but {time} is [free|possible].",
    )
    s.a(
        "{ok}, {time} [works|is good][ for us|].",
        "[Not ideal, but OK|That will do].",
        "{ok}. We'll take that.",
    )
    if "name" in s.facts:
        s.b("[And your|What's your|May I have your] name?")
        s.a("{name}.", "[It's|My name is] {name}.")
    s.a("[By the way, it's|It's] for {occasion}.")
    if s.chance(0.3):
        s.a("Could we have [a table by the window|a vegetarian menu|a quiet corner]?")
        s.b(
            "[Certainly|Of course], [that's no problem|I'll make a note of it].",
            "I'll see what I can do.",
        )
        s.a("{great}, thanks.", p=0.4)
    else:
        s.b(
            "[How nice|Lovely]! See you on {day}.",
            "[How nice|Lovely]! [We look forward to it|See you then].",
            p=0.4,
        )
    s.summarize(
        (
            "{A} books a table for {people} on {day} for {occasion}. {wanted} is not "
            "possible, so {B} offers {time}."
        ),
        (
            "{A} wants a table for {people} at {wanted} on {day} for {occasion}. {B} can only "
            "offer {time}, and {A} agrees."
        ),
        key="occasion time",
    )


def gym(s: Scene) -> None:
    """Someone thinks of joining a gym and chooses a plan, or tries a class first."""
    s.draw(
        "goal",
        (
            "lose weight; train for a marathon; build muscle; help my back > help a bad back; get "
            "fit again; sleep better; train for a ski trip; reduce stress; get stronger; move more"
        ),
    )
    classes = "yoga; boxing; swimming; spinning; dance; pilates; rowing; climbing"
    s.draw("class", classes)
    s.draw("day", DAYS)
    s.draw("month", "$25; $30; $35; $40; $45; $50")
    s.draw("year", "$240; $260; $280; $290; $300; $320")
    s.slip("day", DAYS)
    s.welcome("Hi, welcome to the gym.", "{hello}.")
    if s.chance(0.5):
        s.a(
            "{hello}. I'd like to {goal}. What can you offer me?",
            "I want to join because I'd like to {goal}.",
            "I want to {goal} and [need some help|thought of joining].",
        )
    else:
        s.a(
            "{hello}. I'm thinking [of|about] joining.",
            "I'd like to [become a member|join the gym].",
        )
        s.b(
            "{great}! [What's your goal|Why do you want to train]?",
            "[May I ask|Can I ask] what your goal is?",
        )
        s.a("I want to {goal}.", "{um}I'd like to {goal}.", "Mainly, I want to {goal}.")
    s.b(
        "Then I'd [suggest|recommend] our {class} class.",
        "Our {class} class [would be perfect|is good for that].",
    )
    s.check("class", "A")
    s.a("[Sounds good|Interesting]. What does it cost?", "OK. What are your prices?")
    s.b("It's {month} a month or {year} a year.", "{month} a month. One year is {year}.")
    branch = s.rng.randrange(3)
    if branch == 0:
        s.a("The year is cheaper. [I'll take that|Let's do that].", "{um}I'll take the year.")
        s.b("{great}. Your first class is on {day}.", "Good choice. You can start on {day}.")
        paid = "{year} for a year"
    elif branch == 1:
        s.a(
            "I'm not sure yet. I'll try one month.",
            "Just a month, please. I [travel a lot|may move].",
        )
        s.b("[No problem|Of course]. The class is on {day}.", "Fine. You can start on {day}.")
        paid = "{month} for a month"
    else:
        s.a("That's expensive. Can I try it first?", "That's a lot. Can I try a class first?")
        s.b("[Sure|Yes]. Come on {day}. It's free.", "Of course. How about {day}? It's free.")
        s.a("I'd like that. {thanks}.", "OK. See you on {day}.", p=0.4)
        s.summarize(
            (
                "{A} wants to {goal} but finds {month} a month expensive. {B} invites {A} to a "
                "free {class} class on {day}."
            ),
            key="goal class",
        )
        return
    s.a("OK, see you then.", "{thanks}. [I'll be there|See you then].", p=0.4)
    s.summarize(
        "{A} wants to {goal}, and {B} recommends the {class} class. {A} pays "
        + paid
        + " and starts on {day}.",
        key="goal class",
    )


def invitation(s: Scene) -> None:
    """Two friends want to do something together and look for a day."""
    s.friend("A", "first")
    s.friend("B", "second")
    s.draw(
        "plan",
        (
            "see a movie; go bowling; play tennis; go hiking; visit the museum; go to the zoo; "
            "have a picnic; go swimming; see a play; go dancing; try the new café; go to a concert"
        ),
    )
    s.draw("day", DAYS)
    s.draw(
        "excuse",
        (
            "I have to work > has to work; I'm visiting my parents > is visiting family; I have a "
            "date > has a date; I'm moving > is moving; I have a class > has a class; I'm on a "
            "trip > is on a trip; I have to study > has to study; I have visitors > has visitors; "
            "I have a game > has a game"
        ),
    )
    s.draw("new", DAYS)
    s.draw("time", f"{AFTERNOON_TIMES}; {EVENING_TIMES.split('; ')[0]}")
    s.draw(
        "meet",
        (
            "at the station; at the bus stop; in front of the bank; at the corner; at the "
            "fountain; at the park gate; outside the library; at the bridge"
        ),
    )
    s.slip("new", DAYS)
    if s.chance(0.4):
        s.a("Hi, {second}, it's {first}.")
        s.b("[Hi|Hello], {first}! [How are you|How are things]?")
        s.a("[Good|Fine], thanks.")
    else:
        del s.names["A"]
        s.a("[Hi|Hey], {second}.")
        s.small_talk("A", 0.3)
    s.a(
        "[Do you want to|Would you like to|Shall we] {plan} on {day}?",
        "I'm free on {day}. Let's {plan}!",
    )
    s.b("[I'd love to, but|Sorry,|Oh, what a pity,] {excuse}[ then| that day|].")
    s.a("[Too bad|Oh, I see]. [When are you free|What about another day]?")
    s.b("[How about|What about] {new}?", "{um}{new} is good for me.", "I'm free on {new}.")
    s.check("new", "A")
    s.a("[That works|{new} is fine]. [Where should we meet|Where do we meet]?")
    if s.chance(0.4):
        s.b("{meet}, at {time}?", "Let's meet {meet} at {time}.")
        s.a("{great}. See you then!", "[Perfect|OK]. [I can't wait|See you there]!", p=0.4)
    else:
        s.b("{meet}?", "Let's meet {meet}.", "How about {meet}?")
        s.a("{ok}. [At what|What] time?")
        s.b("[At|Let's say] {time}.", "Is {time} OK?", "{time}, if that suits you.")
        s.a("{great}. See you then!", "Perfect. I can't wait!", p=0.4)
    s.summarize(
        (
            "{A} wants to {plan} on {day}, but {B} {excuse}. They agree on {new} and will meet "
            "{meet} at {time}."
        ),
        key="plan new",
    )
