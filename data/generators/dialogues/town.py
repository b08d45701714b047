"""Dialogue situations in town: library card, late book, doctor."""

from .scene import Scene
from .words import SURNAMES


def library_card(s: Scene) -> None:
    """A visitor needs a library card, and may have the wrong paper along."""
    s.draw(
        "wish",
        (
            "borrow a cookbook; use the computers; borrow some movies; read old newspapers; "
            "borrow some novels; use the study room; borrow a travel guide; join the book club; "
            "borrow some comics; print a letter"
        ),
    )
    s.draw(
        "paper",
        (
            "a passport; a driver's license; a student ID; a bank letter; a phone bill; an "
            "electricity bill; a rental contract; a birth certificate"
        ),
    )
    s.draw("have", "a passport; a driver's license; a student ID; a credit card; a bus pass")
    s.draw("fee", "$5; $8; $10; $12; $15")
    s.draw("limit", "three books; four books; five books; six books; eight books; ten books")
    s.draw(
        "when",
        "tomorrow; on Monday; after lunch; on Saturday; this afternoon; next week; on Tuesday",
    )
    s.welcome("{hello}.", "Welcome to the library.")
    if s.chance(0.5):
        s.a(
            "{hello}. I'd like to {wish}. How do I get a card?",
            "I want to {wish}, but I don't have a library card.",
            "I need a library card to {wish}, right?",
        )
    else:
        s.a("{um}I'd like to {wish}.", "{hello}. I want to {wish}.")
        s.b(
            "[Sure|Of course]. Do you have a library card?",
            "Are you a member here?",
            "Do you have a card with us?",
        )
        s.a(
            "[No, not yet|Not yet]. How do I get a card?",
            "[No|Not yet]. What do I need for a card?",
        )
    s.b("I need to see {paper}.", "[Just show me|You need] {paper}.")
    if s.chance(0.55):
        s.a("I only have {have}[ with me|]. Is that OK?", "I have {have} here. Would that do?")
        s.b("{sorry} it has to be {paper}.", "No, I'm sorry.", "I'm afraid not.")
        s.a("Then I'll [come back|be back] {when}.", "OK. I'll come back {when}.")
        s.b(
            "[Good|Fine]. The card costs {fee}, by the way.",
            "And please bring {fee} for the card.",
            "[See you then|We close at six].",
            p=0.4,
        )
        s.summarize(
            (
                "{A} wants to {wish} but only has {have}. {B} needs {paper} for a card, so {A} "
                "will come back {when}."
            ),
            key="wish paper",
        )
        return
    s.a(
        "[Here it is|Here you are]. Does it cost anything?", "I have it here. How much is the card?"
    )
    s.b("[It's|It costs] {fee} a year.", "The card is {fee}.")
    s.a("[That's OK|Fine]. How many books can I take?", "{ok}. Is there a limit?")
    s.b("[Up to|You can take] {limit}[ at a time|].", "{limit} at a time. Here's your card.")
    s.a("{great}. {thanks}.", p=0.3)
    s.summarize(
        (
            "{A} wants to {wish} and shows {paper} to get a library card. It costs {fee}, and {A} "
            "may borrow {limit}."
        ),
        key="wish paper",
    )


def late_book(s: Scene) -> None:
    """A reader brings a book back too late and pays, or does not have to."""
    s.draw(
        "book",
        (
            "a novel; a cookbook; a travel guide; a dictionary; a history book; a poetry book; a "
            "comic book; an art book; a chess book; a biography"
        ),
    )
    s.draw(
        "reason",
        (
            "I was ill > an illness; I was on vacation > a vacation; I was moving > a move; I had "
            "exams > exams; I was on a business trip > a business trip; I have a new baby > a new "
            "baby; my car broke down > car trouble; I broke my leg > a broken leg; I had visitors "
            "> visitors; I had too much work > too much work"
        ),
    )
    late = "a week; two weeks; three weeks; four weeks; ten days; a month"
    s.draw("late", late)
    s.draw("where", "online; by phone; by email; at the machine")
    s.draw("fine", "$2; $3; $4; $6; $7; $9; $12")
    s.welcome("{hello}.", p=0.3)
    s.a(
        "{hello}. [I want to|I need to|I'd like to] return {book}.",
        "I'm bringing back {book}.",
        "I have {book} to return.",
    )
    s.b("{thanks}. [Oh|Hmm], it's {late} late.", "{moment}. It was due {late} ago.")
    s.check("late", "A", 0.15)
    s.a("[Sorry|I know, I'm sorry]. {reason}.", "Oh, really? {reason}, you see.")
    s.b("[I understand|I see], but there's a fine of {fine}.", "That makes {fine}, I'm afraid.")
    if s.chance(0.5):
        s.a("[OK|Fair enough|All right]. Can I pay [by card|in cash]?")
        s.b("[Sure|Of course]. Next time, you can renew it {where}.")
        s.a("[I didn't know that|Good to know]. {thanks}.", p=0.4)
        s.summarize(
            (
                "{A} returns {book} {late} late because of {reason}. {A} pays {fine} and learns "
                "that books can be renewed {where}."
            ),
            key="book reason",
        )
        return
    s.a("Is there no other way? I'm a good reader.", "[That's a lot|Oh dear]. Do I have to pay?")
    s.b(
        "[Well, it's|It's] your first time. You don't have to pay.",
        "[All right|OK]. I'll let it go this time.",
    )
    s.a("That's very kind of you.", "Oh, {thanks}!", p=0.8)
    s.summarize(
        (
            "{A} returns {book} {late} late because of {reason}. The fine is {fine}, but {B} lets "
            "{A} go without paying."
        ),
        key="book reason",
    )


# What a patient complains of, and what may have caused it.
SYMPTOMS = {
    "my back hurts > back pain": (
        "I've been lifting heavy boxes > lifting heavy boxes; I sit at a desk all day > "
        "sitting too long; I moved a sofa > moving a sofa"
    ),
    "I have a sore throat > a sore throat": (
        "my daughter has a cold > a cold; I sang all weekend > singing too much; I shouted at "
        "a game > shouting at a game"
    ),
    "my knee hurts > a sore knee": (
        "I fell off my bike > a fall; I've started running > running; I slipped on the ice > a fall"
    ),
    "I can't sleep > trouble sleeping": (
        "work is very stressful > stress; I drink a lot of coffee > too much coffee; I work "
        "late at night > working at night"
    ),
    "I have a bad cough > a bad cough": (
        "everyone at work has a cold > a cold; I've been painting the house > paint fumes; I "
        "smoke a little > smoking"
    ),
    "I keep getting headaches > headaches": (
        "I work at a screen all day > too much screen time; work is very stressful > stress; "
        "I hardly drink water > not drinking enough"
    ),
    "my stomach hurts > a stomachache": (
        "I had some old fish > bad fish; I drink a lot of coffee > too much coffee; work is "
        "very stressful > stress"
    ),
    "I have a rash on my arm > a rash": (
        "I bought a new soap > a new soap; I worked in the garden > a plant; we have a new "
        "cat > a cat"
    ),
    "I feel dizzy > dizzy spells": (
        "I often skip breakfast > skipping breakfast; I hardly drink water > not drinking "
        "enough; I'm on a diet > a diet"
    ),
    "my ear hurts > an earache": (
        "I go swimming a lot > swimming; I went to a loud concert > loud music; I had a cold "
        "> a cold"
    ),
    "my eyes itch > itchy eyes": (
        "I work at a screen all day > too much screen time; we have a new cat > a cat; I've "
        "been in the garden > pollen"
    ),
    "my shoulder is stiff > a stiff shoulder": (
        "I play a lot of tennis > playing tennis; I've been painting the house > painting; I "
        "sit at a desk all day > sitting too long"
    ),
}


def doctor(s: Scene) -> None:
    """A patient describes a symptom; the doctor asks for a cause and gives advice."""
    symptom = s.draw("symptom", "; ".join(SYMPTOMS))
    since = (
        "for two days; for three days; for four days; for a week; for two weeks; for a month; "
        "since Sunday; since Monday; since Friday"
    )
    s.draw("since", since)
    s.draw("cause", next(causes for key, causes in SYMPTOMS.items() if key.startswith(symptom)))
    s.draw(
        "advice",
        (
            "rest for a few days; take these pills twice a day > take pills twice a day; take "
            "these pills at night > take pills at night; see a specialist; have a blood test; "
            "take a week off work; come back in a week; get more sleep"
        ),
    )
    s.slip("since", since)
    doctor = "The doctor"
    if s.chance(0.35):
        s.draw("doctor", "; ".join(f"Dr. {name}" for name in SURNAMES.split("; ")))
        s.a("{hello}, {doctor}.", "May I come in, {doctor}?")
        doctor = "{doctor}"
    elif s.chance(0.3):
        s.a("{hello}, doctor.")
    s.b(
        "[Hello|Hi|Come in]. [What's the matter|What's wrong|What brings you here]?",
        "[Please sit down|Have a seat]. What's wrong?",
    )
    if s.chance(0.5):
        s.a("{symptom}. It's been like that {since}.", "{symptom}, doctor. I've had this {since}.")
    else:
        s.a("{um}{symptom}.", "I don't feel well. {symptom}.", "{symptom}, doctor.")
        s.b(
            "[How long have you had this|Since when]?",
            "{see}. How long has [this been going on|it been like that]?",
        )
        s.a("{since}[, I think|, more or less|].", "{um}{since}.", "It's been like that {since}.")
    s.check("since")
    s.b(
        "[Did anything change|Have you done anything unusual] lately?",
        "Can you think of a reason?",
        "What could be the cause?",
    )
    s.a("Well, {cause}.", "{um}{cause}. [Could that be the reason|Is that bad]?", "Hmm, {cause}.")
    s.b(
        "[That explains it|That's likely]. You should {advice}.",
        "[I thought so|That's it, I think]. Please {advice}.",
    )
    tail = s.rng.randrange(6)
    if tail == 1:
        s.a("[Is it serious|Should I be worried]?", "Can I still go to work?")
        s.b("[No need to worry|You'll be fine in a few days|It's nothing serious].")
    elif tail == 2:
        s.a("And if it [doesn't help|gets worse]?")
        s.b("Then call me at once.", "Then we'll do some tests.")
    s.a("[All right|OK]. {thanks}[, doctor|].", "I'll do that. {thanks}.", p=0.4)
    s.summarize(
        "{A} has had {symptom} {since}. "
        + doctor
        + " thinks it comes from {cause} and tells {A} to {advice}.",
        key="symptom since",
    )
