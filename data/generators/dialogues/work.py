"""Dialogue situations at work and at school: moving a meeting, job interview, late homework."""

from .scene import Scene
from .words import AFTERNOON_TIMES, MORNING_TIMES, WORKDAYS


def meeting(s: Scene) -> None:
    """A colleague has to move a meeting; the two find a time that suits both."""
    s.draw("old", WORKDAYS)
    s.draw(
        "reason",
        (
            "a dentist appointment; a job interview; a funeral; a training course; a doctor's "
            "appointment; a school meeting; a flight to catch; a visit from a client; a school "
            "play; a driving test"
        ),
    )
    s.draw("proposed", WORKDAYS)
    s.draw("new", WORKDAYS)
    s.draw("time", f"{MORNING_TIMES}; {AFTERNOON_TIMES}")
    s.draw("busy", "a deadline; a long call; a workshop; visitors; a day off")
    s.friend("A" if s.chance(0.5) else "B")
    s.slip("old", WORKDAYS)
    if "A" in s.names:
        s.a("[Hi, it's|Hello, this is] {friend}. [Is this a good time|Can we talk]?")
        s.b(
            "Hi, {friend}. [What's up?|Sure, go ahead.|What is it?]",
            "[Of course|Sure], {friend}. What is it?",
        )
    else:
        s.a(
            "Hi, {friend}. [Do you have a minute|Have you got a second]?",
            "Hi, {friend}. It's about our meeting.",
        )
        s.b("Sure. What's up?", "Hi. What is it?", "Yes, what's the matter?")
    if s.chance(0.5):
        s.a(
            "I have {reason} on {old}. Can we move our meeting?",
            "I can't come on {old}. I have {reason}.",
            "We can't meet on {old}. I have {reason}.",
        )
        if s.chance(0.4):
            s.b(
                "[I see|Oh, all right|That's OK]. When would you like to meet?",
                "No problem. What do you suggest?",
            )
    else:
        s.a(
            "I can't [come to|make] our meeting on {old}.",
            "[Can|Could] we move our meeting on {old}?",
            "We have to move the meeting on {old}.",
        )
        s.b("[Oh, why|Why, what happened]?", "Did something come up?", "Is something wrong?")
        s.a(
            "I have {reason}[ that day|].",
            "I have {reason}. [Sorry about that|I forgot all about it].",
        )
    if s.chance(0.6):
        s.a("[How about|What about] {proposed}?")
        s.b(
            "I have {busy} then. I'm free on {new}.",
            "{proposed} is bad, I have {busy}. {new}?",
            "No, I have {busy}. How about {new}?",
        )
        s.a("{ok}. What time?", "{new} is [fine|good]. When?")
        s.b("Let's say {time}.", "At {time}, in [my office|the small room]?")
        s.a("{great}. See you then.", "[That works|OK], see you [then|there].", p=0.4)
        s.summarize(
            (
                "{A} has {reason} and cannot make the meeting on {old}. {B} has {busy} on "
                "{proposed}, so they agree on {new} at {time}."
            ),
            key="reason old new",
        )
        return
    if s.turns[-1][0] == "A":
        s.b(
            "[No problem|That's OK|I understand]. When are you free?", "I see. What would suit you?"
        )
    s.a("[How about|What about] {new}?", "{um}{new}[ would be good|, maybe].")
    s.b("{new} is [fine|good]. What time?", "{ok}. What time would you like?")
    s.a("Let's say {time}.", "At {time}, in [my office|the small room]?")
    s.b("{great}. [See you then|I'll write it down|I'll tell the others].", p=0.4)
    s.summarize(
        (
            "{A} has {reason} and cannot make the meeting on {old}. {B} is flexible, so they "
            "agree on {new} at {time}."
        ),
        key="reason old new",
    )


# Jobs, and where one can have done them before.
JOBS = {
    "a waiter": (
        "in a hotel; in a café; in a steak house; on a ship; in a hotel bar; at a ski resort"
    ),
    "a nurse": "in a hospital; at a school; abroad; in a clinic; in the army; in a nursing home",
    "an accountant": (
        "in a bank; in a hotel; in a small company; abroad; for the city; in a hospital"
    ),
    "a driver": "for a hotel; for a school; for the city; for a bakery; in the army; abroad",
    "a teacher": (
        "at a school; abroad; at a language school; in a village; at a college; in a kindergarten"
    ),
    "a designer": (
        "in a small company; at a magazine; abroad; in a museum; at a fashion house; for the city"
    ),
    "a chef": "in a hotel; on a ship; at a school; in a steak house; abroad; in a nursing home",
    "a receptionist": (
        "in a hotel; in a clinic; in a bank; in a museum; at a school; at a ski resort"
    ),
    "a salesperson": (
        "in a bookstore; in a bakery; in a shoe store; abroad; at a museum shop; in a small company"
    ),
    "a gardener": "for the city; in a hotel; at a school; in a zoo; at a castle; abroad",
    "a programmer": (
        "in a bank; in a small company; abroad; at a college; in a hospital; for the city"
    ),
    "a translator": (
        "in a bank; abroad; for the city; at a magazine; in a small company; in the army"
    ),
}


def interview(s: Scene) -> None:
    """A job interview: experience, the reason for a change, and what comes next."""
    job = s.draw("job", "; ".join(JOBS))
    years = "two years; three years; four years; five years; six years; eight years; ten years"
    s.draw("years", years)
    s.draw("where", JOBS[job])
    s.draw(
        "why",
        (
            "the pay is bad; my contract is ending; I want to learn something new; we moved here; "
            "the commute is too long; I need regular hours; it got boring; my boss is leaving"
        ),
    )
    s.draw(
        "start",
        (
            "next week; next month; in two weeks; in March; in May; in June; after the summer; in "
            "September; right away"
        ),
    )
    s.draw("result", "a second interview; a trial day; the job; a trial week; part-time work")
    s.person("A")
    s.slip("years", years)
    s.b(
        "{title}? [Please come in|Have a seat].",
        "[{hello}|Welcome], {title}.",
        "You must be {name}. Please sit down.",
    )
    s.a("Thank you[ for inviting me|].", "{hello}. Nice to meet you.", p=0.4)
    if s.chance(0.1):
        s.b("Did you find us easily?", "[Would you like|Can I get you] some water?")
        s.a("Yes, thank you.")
    s.b("So, you want to work here as {job}.", "You applied for a job as {job}.")
    s.b("[What experience do you have|Have you done this before]?")
    s.a(
        "I worked {where} for {years}.",
        "I've worked {where} for {years}.",
        "I have {years} of experience {where}.",
    )
    s.check("years")
    s.b("Why are you looking for a new job?", "[And why|Why] do you want to change?")
    s.a("{um}{why}.", "To be honest, {why}.", "Well, {why}.")
    if s.chance(0.1):
        s.b("What's your greatest strength?", "What are you good at?")
        s.a("I'm [always on time|good with people|a quick learner|patient].")
    if s.chance(0.5):
        s.a("I could start {start}.")
    else:
        s.b("{see}. When could you start?", "When can you start?")
        s.a("{start}.", "{um}{start}, if you like.", "I could start {start}.")
    s.b(
        "{great}. [We can offer you|You'll get] {result}.",
        "That sounds good. We'd like to offer you {result}.",
    )
    s.a("[That's great news|Wonderful]. {thanks}.", "{thanks}. I look forward to it.", p=0.4)
    s.summarize(
        (
            "{A} applies for a job as {job} after {years} {where} and could start {start}. {B} "
            "offers {A} {result}."
        ),
        key="job where",
    )


def homework(s: Scene) -> None:
    """A student asks a professor for more time."""
    s.draw(
        "work",
        (
            "history essay; chemistry report; math homework; Spanish essay; music project; biology "
            "report; book report; physics project; geography paper; science paper"
        ),
    )
    s.draw(
        "reason",
        (
            "I was in the hospital > a hospital stay; my computer crashed > a computer crash; my "
            "grandmother died > a death in the family; I had to work > a job; I had the flu > the "
            "flu; I lost my notes > lost notes; we had to move > a move; I broke my arm > a "
            "broken arm; my sister got married > a wedding"
        ),
    )
    s.draw("asked", "Wednesday; Thursday; Friday")
    s.draw("new", "Monday; Tuesday; Wednesday")
    s.draw(
        "condition",
        (
            "add a page; give a talk; hand in a draft first; work with a partner; read another "
            "book; show me the notes > show the notes; come to my office hour > come to the "
            "office hour"
        ),
    )
    s.slip("asked", "Wednesday; Thursday; Friday")
    s.draw(
        "teacher",
        (
            "Professor Hart; Professor Shaw; Professor Lane; Professor Reed; Mr. Wood; Ms. Kelly; "
            "Mrs. Palmer"
        ),
    )
    s.names["B"] = s.facts["teacher"].told
    if s.chance(0.5):
        s.a(
            "Excuse me, {teacher}. [Do you have a minute|Can I ask you something]?",
            "{teacher}, may I talk to you?",
        )
        s.b("[Of course|Sure|Yes]. What is it?", "Come in. What's the matter?")
    else:
        s.a("{hello}, {teacher}.", "Excuse me, {teacher}.")
    if s.chance(0.6):
        s.a(
            "{reason}, so I haven't finished my {work}.",
            "I can't finish my {work}. {reason}.",
            "I need more time for my {work}. {reason}.",
        )
    else:
        s.a("I [can't finish|haven't finished] my {work}.", "I need more time for my {work}.")
        s.b("[Why is that|What happened]?", "You had [two|three] weeks. What happened?")
        s.a("{reason}.", "{um}{reason}. I'm really sorry.", "It was a hard week. {reason}.")
    s.b(
        "[I'm sorry to hear that|I see]. How much time do you need?",
        "{see}. When could you hand it in?",
    )
    s.a("Would {asked} be OK?", "Could I [have|get] until {asked}?")
    s.check("asked")
    if s.chance(0.3):
        s.b(
            "[Yes, but|All right, but] you must {condition}.", "{asked} is fine if you {condition}."
        )
        s.a("[I will|I promise]. {thanks}.", p=0.4)
        s.summarize(
            (
                "{A} needs more time for a {work} because of {reason}. {B} allows time until "
                "{asked} if {A} promises to {condition}."
            ),
            key="work reason",
        )
        return
    s.b(
        "[That's too late|That doesn't work]. You can have until {new}.",
        "{sorry} I need it by {new}.",
        "I can only give you until {new}.",
    )
    if s.chance(0.7):
        s.a("{ok}. [I'll try|I can do that].", "That's not much, but OK.")
        s.b("And [please|you have to] {condition}.", "{great}. But you must {condition}.")
        s.a("[I will|No problem]. {thanks}.", p=0.4)
        s.summarize(
            (
                "{A} needs more time for a {work} because of {reason}. {B} allows time until "
                "{new}, not {asked}, and {A} must {condition}."
            ),
            key="work reason",
        )
    else:
        s.a("[I don't think I can do it|That's impossible]. Is there another way?")
        s.b("[Then|Well, then] {condition} instead.", "You could {condition} instead.")
        s.a("I'd like that. {thanks}.", "[Good|OK], I'll do that.")
        s.summarize(
            (
                "{A} asks for time until {asked} for a {work} because of {reason}. "
                "{B} allows only {new}, so {A} will {condition} instead."
            ),
            key="work reason",
        )
