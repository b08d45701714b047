"""Dialogue situations at home: renting an apartment, a birthday, noisy neighbors."""

from .scene import Scene
from .words import AFTERNOON_TIMES, DAYS, MORNING_TIMES


def apartment(s: Scene) -> None:
    """Someone asks about an apartment and haggles over the rent, or comes to see it."""
    s.draw(
        "kind",
        (
            "a one-bedroom apartment; a two-bedroom apartment; a studio; a furnished room; a "
            "small house; a three-bedroom apartment; a large apartment; a furnished studio"
        ),
    )
    places = (
        "the station; the park; the university; the river; the hospital; the market; the "
        "beach; the stadium; the old town; the airport"
    )
    s.draw("near", places)
    s.draw("rent", "$650; $700; $750; $800; $850; $900; $950")
    s.draw("less", "$580; $600; $620; $640; $630; $610")
    s.draw(
        "need",
        (
            "a parking space; a place for my bike > a place for a bike; room for a piano; a "
            "garden; a balcony; to bring my dog > to bring a dog; to bring two cats; a quiet "
            "street; an elevator; fast Internet"
        ),
    )
    months = "March; May; June; July; August; October; next month; January"
    s.draw("from", months)
    s.draw("stay", "one year; two years; three years")
    s.draw("day", DAYS)
    s.draw("time", f"{MORNING_TIMES}; {AFTERNOON_TIMES}")
    s.slip("near", places)
    if s.chance(0.5):
        s.a(
            "{hello}. I'm looking for {kind} near {near}, from {from}.",
            "Do you have {kind} for {from}, near {near}?",
        )
        s.b(
            "Yes, we have one. [Any questions|Any special wishes]?",
            "Yes, one is free. Is there anything special you need?",
        )
    else:
        s.a(
            "{hello}. I'm [calling about|interested in] {kind} near {near}.",
            "I'm looking for {kind} near {near}.",
            "{hello}. Do you have {kind} near {near}?",
        )
        s.b(
            "[You're lucky|Yes], we have one. From when?",
            "[Yes, one is free|There's one]. When would you move in?",
        )
        s.a("From {from}, if possible.", "{um}from {from}.", "I'd need it from {from}.")
        s.b(
            "[That's possible|That works|Good]. [Any questions|Any special wishes]?",
            "{ok}. Is there anything special you need?",
        )
    s.a("[Yes, I need|I need|Well, I need] {need}.", "One thing: I need {need}.")
    s.b("[That's no problem|That's fine]. The rent is {rent}.", "No problem. It's {rent} a month.")
    branch = s.rng.randrange(3)
    if branch == 0:
        s.a("That's too much. Could it be less?", "Could you make it a little cheaper?")
        s.b("If you stay for {stay}, I'll say {less}.", "{less}, but only if you stay for {stay}.")
        s.a("{great}. I'll take it.", "Then we have a deal.")
        s.summarize(
            (
                "{A} wants {kind} near {near} and needs {need}. {B} lowers the rent to {less} if "
                "{A} stays for {stay}."
            ),
            key="kind near",
        )
    elif branch == 1:
        s.a(
            "That sounds fair. [When can I see it|Can I come and see it]?",
            "Good. I'd like to [see|look at] it first.",
        )
        s.b("How about {day} at {time}?", "You can see it on {day} at {time}.")
        s.a("[I'll be there|That suits me]. {thanks}.", "{day} is fine. [See you then|Thanks].")
        s.summarize(
            (
                "{A} wants {kind} near {near} and needs {need}. It costs {rent}, and {A} will see "
                "it on {day} at {time}."
            ),
            key="kind near",
        )
    else:
        s.a(
            "[That's too expensive|I can't afford that]. I can only pay {less}.",
            "Hmm. I can't pay more than {less}.",
        )
        s.b("{sorry} [that's not enough|I can't do that].", "I'm afraid the price is fixed.")
        s.a(
            "[That's a pity|Too bad]. I'll keep looking, then.",
            "Then I'll look for another one.",
            p=0.8,
        )
        s.summarize(
            (
                "{A} wants {kind} near {near} from {from} and needs {need}. The rent is {rent}, "
                "but {A} can only pay {less}."
            ),
            key="kind near",
        )


def birthday(s: Scene) -> None:
    """Two friends plan a birthday for someone."""
    s.friend("B")
    s.draw(
        "who",
        (
            "Grandma; Dad; Mom; Grandpa; our boss > their boss; our teacher > their teacher; our "
            "neighbor > their neighbor; our coach > their coach; our cousin > their cousin"
        ),
    )
    s.draw("when", DAYS)
    s.draw("idea", "a book; a scarf; flowers; chocolates; a plant; a mug; a picture; perfume")
    s.draw(
        "gift",
        (
            "concert tickets; a bicycle helmet; a cooking class; a coffee machine; a photo album; "
            "a garden chair; a warm blanket; a board game; a weekend trip; a watch; hiking boots; "
            "a teapot"
        ),
    )
    places = (
        "at home; in the park; at a restaurant; at the lake; on the beach; in the garden; at "
        "a café; on a boat"
    )
    s.draw("place", places)
    s.draw("bad", places)
    s.draw(
        "task",
        (
            "bake the cake; invite the guests; buy the drinks; bring the music; make a salad; "
            "write the card; take the photos; buy the balloons"
        ),
    )
    s.slip("when", DAYS)
    if s.chance(0.5):
        s.a(
            "{friend}, {who} has a birthday on {when}. [How about|Should we get] {idea}?",
            "What should we get {who}, {friend}? The birthday is on {when}. Maybe {idea}?",
        )
    else:
        s.a(
            "[Hi, {friend}|{friend}], {who} has a birthday on {when}.",
            "{friend}, did you know? {who} has a birthday on {when}.",
        )
        s.b(
            "[Oh, you're right|That's true|Oh, yes]! What should we get as a present?",
            "[Already|So soon]? Do we have a present?",
        )
        s.a("[How about|What about|Maybe] {idea}?", "I thought of {idea}.")
    s.b(
        "[Not {idea} again|We did that last year]. [Let's get|I'd rather get] {gift}.",
        "[Everybody does that|That's not very special]. What about {gift}?",
    )
    s.a(
        "[Good idea|Great idea|I like that]! [And where|Where] do we celebrate?",
        "That's better. And where is the party?",
    )
    if s.chance(0.3):
        s.b("[Maybe|How about] {bad}?")
        s.a(
            "[We always do that|I don't like that]. {place} would be better.",
            "Hmm, {place} is better.",
        )
        s.b("[You're right|Fine|OK].")
    else:
        s.b("{place}. What do you think?", "How about {place}?", "Let's do it {place}.")
        s.a("{ok}.", "[Perfect|Sounds good].")
        s.a("[Can|Could] you {task}?", "Would you {task}, please?")
        s.b("[Sure|Of course], [I'll do that|leave it to me].", "[Yes, gladly|With pleasure].")
        s.summarize(
            (
                "{A} and {B} plan a birthday party for {who} {place} on {when}. They choose "
                "{gift}, and {B} will {task}."
            ),
            key="gift place",
        )
        return
    s.b("And I'll {task}.", "I can {task}.")
    s.a("{great}. {thanks}.", p=0.4)
    s.summarize(
        (
            "{A} and {B} plan a birthday party for {who} {place} on {when}. They choose {gift}, "
            "and {B} will {task}."
        ),
        key="gift place",
    )


def neighbors(s: Scene) -> None:
    """A neighbor complains about noise; the two find a rule."""
    s.draw(
        "noise",
        (
            "your piano > the piano; your drums > the drums; your dog > the barking dog; your "
            "music > the loud music; your TV > the loud TV; your parties > the noisy parties; "
            "your drill > the drill; your washing machine > the washing machine; your trumpet > "
            "the trumpet; your children > the noisy children"
        ),
    )
    s.draw(
        "why",
        (
            "I have an exam > an exam; my baby can't sleep > a baby who cannot sleep; I work "
            "nights > night shifts; I feel ill > an illness; I work at home > work at home; my "
            "mother is ill > a sick mother; I get up at five > an early start; I have a headache "
            "> a headache"
        ),
    )
    s.draw(
        "quiet",
        (
            "after eight o'clock; after nine o'clock; after seven o'clock; in the morning; on "
            "weekends; before noon; at night; on Sundays"
        ),
    )
    s.draw(
        "help",
        (
            "close the windows; put down a carpet; use another room; shut the doors; hang up "
            "thick curtains"
        ),
    )
    s.friend("A" if s.chance(0.5) else "B")
    if "B" in s.names:
        s.a(
            "Hi, {friend}. [Sorry to bother you|I have a small problem].",
            "{friend}, I have a problem.",
        )
    else:
        s.a(
            "Hello, I'm {friend} from [upstairs|downstairs|next door].",
            "Hi, it's {friend} from [upstairs|next door].",
        )
    if s.chance(0.5):
        s.b(
            "[Hi|Hello]. [What's the matter|What's wrong|Is something wrong]?",
            "Come in. What is it?",
        )
    s.a(
        "It's {noise}. [I can hear everything|The walls are so thin].",
        "It's about {noise}. I can hear everything.",
        "I have to talk to you about {noise}.",
    )
    s.b(
        "Oh, [I'm sorry|I didn't know that]. Is it that bad?",
        "[Really|Oh]? Nobody has complained before.",
    )
    s.a("Well, {why}.", "[Normally it's OK, but|It's just that] {why}.")
    s.b("{see}. [What should I do|What do you suggest]?", "I understand. What can we do?")
    s.a("[Could|Can] it be quiet {quiet}?", "I need some quiet {quiet}.")
    s.check("quiet", probability=0.15)
    if s.chance(0.6):
        s.b("{ok}. [And I'll|I'll also] {help}.", "That's fair. And I can {help}.")
        s.a("That's very kind. {thanks}.", "That would [be great|help a lot].", p=0.4)
        s.summarize(
            (
                "{A} complains about {noise} because of {why}. {B} agrees to be quiet {quiet} and "
                "to {help}."
            ),
            key="noise why",
        )
    else:
        s.b(
            "That's difficult, but I could {help}.", "{sorry} that won't work. I'll {help} instead."
        )
        s.a("Let's try that. {thanks}.", "Well, that's something.", p=0.4)
        s.summarize(
            (
                "{A} complains about {noise} because of {why}. {B} cannot be quiet {quiet} but "
                "will {help}."
            ),
            key="noise why",
        )
