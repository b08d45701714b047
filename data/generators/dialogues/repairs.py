"""Dialogue situations about things that do not work: car repair, technical support."""

from .scene import Scene
from .words import AFTERNOON_TIMES, MORNING_TIMES, WORKDAYS

# {what a driver notices: what the mechanic finds}
CAR_FAULTS = {
    "won't start": (
        "the battery is dead; the battery is old; a cable is loose; the fuel pump is broken"
    ),
    "makes a strange noise": (
        "the exhaust is loose; a belt is worn; a wheel is loose; the brakes are worn"
    ),
    "is losing oil": "an oil pipe is broken; the oil filter is loose; a seal is worn",
    "pulls to the left": "a tire is flat; a wheel is loose; a tire is worn",
    "smells of gas": "the fuel pump is broken; a fuel pipe is broken; a seal is worn",
    "gets too hot": "the radiator leaks; a belt is worn; the water pump is broken",
    "has no lights": "the battery is old; a cable is loose; a fuse is broken",
    "brakes badly": "the brakes are worn; a brake pipe is broken; a tire is worn",
}

# {the price of a repair: its price with used parts}
USED_PARTS = {
    "$90": "$60", "$120": "$80", "$150": "$100", "$180": "$120",
    "$220": "$150", "$260": "$170", "$300": "$200", "$350": "$240",
}  # fmt: skip


def car(s: Scene) -> None:
    """A driver brings a car to the garage and decides whether it is worth the money."""
    fault = s.draw("fault", "; ".join(CAR_FAULTS))
    s.draw("cause", CAR_FAULTS[fault])
    cost = s.draw("cost", "; ".join(USED_PARTS))
    s.draw("less", USED_PARTS[cost])
    days = "tomorrow; on Monday; on Tuesday; on Wednesday; on Thursday; on Friday"
    s.draw("ready", days)
    s.draw("ride", "the bus; a taxi; a bike; the train; a rental car; a friend's car")
    s.welcome("{hello}.", "[Miller's|City] Garage.")
    s.a(
        "{hello}. My car {fault}.",
        "There's something wrong with my car. It {fault}.",
        "I need some help. My car {fault}.",
    )
    way = s.rng.randrange(3)
    if way == 0:
        s.b("[Since when|How long has it been like that]?", "{see}. Since when?")
        s.a("Since [yesterday|last week|this morning|the weekend].")
    elif way == 1:
        s.b("[Let's|Let me] have a look.", "Please leave it here[ for an hour|].")
        s.a("[So, what|And? What|Well, what] is it?", "Have you found anything?")
    if way == 2:
        s.b(
            "It sounds as if {cause}.", "{um}it looks as if {cause}.", "I know what it is: {cause}."
        )
    else:
        s.b("[Ah|Right|I see], {cause}.", "I've found it: {cause}.", "[Well|OK], {cause}.")
    s.a(
        "[How much will that be|What will it cost|Is that expensive]?",
        "Can you fix it? How much is it?",
    )
    s.b("{um}about {cost}.", "I'd say {cost}[ with parts|].")
    if s.chance(0.75):
        s.a(
            "{ok}. When will it be ready?",
            "[That's a lot|Oh dear], but I need the car. When can I have it?",
        )
        s.b("It should be ready {ready}.", "You can pick it up {ready}.")
        s.a(
            "[All right|Fine], I'll take {ride} until then.", "Then I'll [take|use] {ride} for now."
        )
        s.summarize(
            (
                "{A}'s car {fault} because {cause}. It will be ready {ready} for {cost}, and {A} "
                "takes {ride} until then."
            ),
            key="fault cost ready",
        )
        return
    s.a(
        "That's too much. The car is [very old|too old].",
        "I can't pay that.",
        "So much? [It's|But it's] an old car.",
    )
    s.b("With used parts, it would be {less}.", "I could do it for {less} with used parts.")
    if s.chance(0.5):
        s.a("[That's better|OK]. Please do that.", "Good, then go ahead.")
        s.summarize(
            (
                "{A}'s car {fault} because {cause}. {A} cannot pay {cost}, so {B} will use "
                "cheaper parts for {less}."
            ),
            key="fault cost less",
        )
    else:
        s.a(
            "[No|No, thanks], I'd rather [buy a new car|sell it].",
            "I think [I'll sell it|it's time for a new car].",
        )
        s.summarize(
            (
                "{A}'s car {fault} because {cause}. {A} will not pay {cost}, or even {less} for "
                "used parts, and gives the car up."
            ),
            key="fault cost less",
        )


# {what does not work: the possible causes}
COMPUTER_FAULTS = {
    "the Internet is very slow": "the router is old; a cable is loose; the wireless signal is weak",
    "I have no Internet > there is no Internet": (
        "the router is broken; a cable is loose; there is a fault in the street"
    ),
    "my laptop won't start > the laptop won't start": (
        "the battery is dead; the charger is broken; the screen is broken"
    ),
    "I can't print anything > the printer is not working": (
        "the cable is loose; the ink is empty; the software is old"
    ),
    "my screen stays black > the screen stays black": (
        "the charger is broken; the screen is broken; a cable is loose"
    ),
    "the phone line is dead": (
        "a cable is loose; there is a fault in the street; the router is broken"
    ),
    "my email doesn't work > the email is not working": (
        "the mailbox is full; the password is old; the software is old"
    ),
    "there's no sound > there is no sound": (
        "the speaker is broken; a cable is loose; the software is old"
    ),
}


def support(s: Scene) -> None:
    """Someone calls technical support; a first try does not help."""
    problem = s.draw("problem", "; ".join(COMPUTER_FAULTS))
    s.draw("cause", next(c for key, c in COMPUTER_FAULTS.items() if key.startswith(problem)))
    s.draw(
        "tried",
        (
            "restarted everything > restarting; changed the settings > changing the settings; "
            "read the manual > reading the manual; asked a friend > asking a friend; waited an "
            "hour > waiting"
        ),
    )
    s.draw("day", WORKDAYS)
    s.draw("time", f"{MORNING_TIMES}; {AFTERNOON_TIMES}")
    if s.chance(0.15):
        s.person("A")
    s.slip("day", WORKDAYS)
    s.welcome("Technical support.", "{hello}.")
    if s.chance(0.5):
        s.a(
            "{hello}. {problem}. I've {tried}, but it didn't help.",
            "I need help. {problem}, and I've already {tried}.",
        )
    else:
        s.a("{hello}. {problem}.", "I need help. {problem}.", "I have a problem. {problem}.")
        s.b(
            "[I'm sorry|Oh dear]. [What have you tried|Have you tried anything]?",
            "{see}. What have you done so far?",
        )
        s.a("I've {tried}, but [it didn't help|nothing changed].", "Well, I {tried}.")
    if "name" in s.facts:
        s.b("[What's your|And your] name?", "[May|Can] I have your name?")
        s.a("{name}.", "It's {name}.")
    s.wait(0.15)
    s.b("[From here, it looks like|I think] {cause}.", "{moment}. I'd say {cause}.")
    s.a("[And now|What can we do]?", "Can you [fix|repair] that?", "I can't fix that myself.")
    s.b("[We'll send someone|Someone can come] on {day}.", "I can send someone on {day}.")
    s.a("What time?", "{ok}. At what time?")
    s.b("[At|Around] {time}.", "{time}, if you're home.")
    s.a("{great}. {thanks}.", "[Good|Fine]. I'll be [home|here].", p=0.4)
    s.summarize(
        (
            "{A} calls because {problem}, and {tried} did not help. {B} thinks {cause} and sends "
            "someone on {day} at {time}."
        ),
        key="cause day time",
    )
