"""Dialogue situations about things one pays for: late delivery, return, bank card."""

from .scene import Scene
from .words import DAYS


def delivery(s: Scene) -> None:
    """A customer calls about an order that has not come."""
    s.draw(
        "item",
        (
            "desk; lamp; bookshelf; sofa; washing machine; printer; mattress; bicycle; camera; "
            "coffee machine; carpet; mirror"
        ),
    )
    s.draw("due", DAYS)
    s.draw(
        "reason",
        (
            "the truck broke down; the address was wrong; the label was damaged; the warehouse "
            "was flooded; a driver was ill; the roads were closed; the box was damaged; it was "
            "sent to the wrong city; the computer system failed; there was a strike"
        ),
    )
    s.draw("new", DAYS)
    s.draw(
        "gift",
        (
            "a $10 voucher; a $20 voucher; a refund of the shipping fee; ten percent off; a small "
            "gift; fifteen percent off"
        ),
    )
    s.draw("days", "two days; three days; four days; five days; a week")
    if s.chance(0.15):
        s.person("A")
    s.slip("due", DAYS)
    s.welcome("Customer service.", "{hello}.")
    if s.chance(0.6):
        s.a(
            "{hello}. My {item} was due on {due}, but it hasn't come.",
            "You promised me a {item} for {due}. Where is it?",
            "I waited for my {item} all {due}, but nobody came.",
        )
    else:
        s.a(
            "{hello}. I ordered a {item}, but it hasn't [come|arrived].",
            "My new {item} [still hasn't arrived|hasn't come yet].",
            "I'm still waiting for my {item}.",
        )
        s.b(
            "[I'm sorry|Sorry about that]. When [should it have come|was it due]?",
            "When was it supposed to arrive?",
        )
        s.a("On {due}.", "It was due on {due}.", "You promised it for {due}.")
    if "name" in s.facts:
        s.b("[And your name|Your name|What's your name], please?")
        s.a("{name}.", "It's {name}.")
    s.wait()
    s.b(
        "{moment}. It says here that {reason}.",
        "[I see|Oh], {reason}. [I'm very sorry|I apologize].",
    )
    s.a(
        "[So when|When] will I get it?",
        "But I need it this week!",
        "[That's annoying|Oh no]. And now?",
    )
    s.b("We can [deliver|bring] it on {new}.", "It should arrive on {new}.")
    if s.chance(0.75):
        s.a(
            (
                "That's [a long wait|quite late]. [Is there nothing you can do?|I'm not happy "
                "about it.]"
            ),
            "Fine, {new} works, but I expected better.",
        )
        s.b("I can offer you {gift}[ as an apology|].", "You'll get {gift} for the trouble.")
        s.a(
            "[All right|Fine], [thank you|thanks]. [I'll wait|That helps].",
            "That's fair. {thanks}.",
            p=0.35,
        )
        s.summarize(
            (
                "{A}'s {item} was due on {due}, but {reason}. {B} promises it for {new} and "
                "offers {gift}."
            ),
            (
                "{A}'s {item} should have come on {due}, but {reason}. {B} will deliver it on "
                "{new} and offers {gift}."
            ),
            key="item reason",
        )
        return
    s.a(
        "[That's too late|No, I can't wait]. I want to cancel the order.",
        "Sorry, then I'd like my money back.",
    )
    s.b(
        "[I understand|Of course]. You'll get a refund in {days}.",
        "All right. We'll send the money in {days}.",
    )
    s.a("[OK|Good]. {thanks}.", p=0.4)
    s.summarize(
        (
            "{A}'s {item} was due on {due}, but {reason}. {B} offers {new}, but {A} cancels and "
            "will get a refund in {days}."
        ),
        key="item reason",
    )


# What can be wrong with each thing.
FAULTS = {
    "sweater": "has a hole; is too small; is the wrong color; has lost its shape",
    "jacket": "has a broken zipper; is too large; has a hole; is too tight",
    "toaster": "burns everything; doesn't switch off; makes a strange noise; is broken",
    "watch": "doesn't work; runs too slow; has a scratch; is too tight",
    "phone": "doesn't charge; has a cracked screen; gets too hot; is too slow",
    "lamp": "doesn't work; has a broken switch; is too bright; has a scratch",
    "kettle": "leaks; doesn't switch off; makes a strange noise; is broken",
    "backpack": "has a broken zipper; has a hole; is too small; has a broken strap",
    "blender": "leaks; makes a strange noise; doesn't work; is broken",
    "tent": "has a broken zipper; has a hole; is too small; leaks",
}


def returned(s: Scene) -> None:
    """A customer brings something back to the shop, with or without the receipt."""
    item = s.draw("item", "; ".join(FAULTS))
    s.draw("fault", FAULTS[item])
    bought = "yesterday; on Monday; on Saturday; last week; two days ago; last month; on Friday"
    s.draw("bought", bought)
    s.draw("price", "$15; $20; $25; $30; $35; $40; $45; $50; $60")
    s.draw("what", "store credit; a new one; a repair; a voucher")
    s.slip("bought", bought)
    s.welcome("{hello}.", "Next, please.")
    if s.chance(0.5):
        s.a(
            "I bought this {item} {bought}, and it {fault}.",
            "{hello}. I got this {item} {bought}, but it {fault}.",
        )
    else:
        s.a(
            "I'd like to [return|bring back] this {item}. It {fault}.",
            "{hello}. This {item} {fault}.",
            "There's a problem with this {item}. It {fault}.",
        )
        s.b(
            "[Oh, I'm sorry|Let me see]. When did you buy it?",
            "[I see|Oh dear]. When did you get it?",
        )
        s.a("I [bought|got] it {bought}.", "{bought}, I think.", "{um}{bought}.")
    s.check("bought")
    s.b("Do you have the receipt?", "[May|Can] I see the receipt?", "And the receipt?")
    if s.chance(0.5):
        s.a(
            "{um}I [can't find it|lost it|threw it away].",
            "No, I'm afraid I lost it.",
            "I don't have it anymore.",
        )
        s.b("Without it, I can only offer {what}.", "Then all I can offer is {what}.")
        if s.chance(0.65):
            s.a(
                "[OK|That's fine|All right], {what} is fine.",
                "That's better than nothing. {thanks}.",
                "{ok}. I'll take that.",
            )
            s.b("[Please sign here|Sorry for the trouble].", "I'll get it ready for you.", p=0.4)
            outcome = "and {A} accepts."
        else:
            s.a(
                "That's not fair. Can I speak to the manager?",
                "I'd like to speak to the manager.",
                "No, I want my money back. Call the manager!",
            )
            s.b(
                "[Of course|All right], I'll [call|get] the manager.",
                "The manager will be here soon.",
                p=0.4,
            )
            outcome = "but {A} wants to see the manager."
        s.summarize(
            (
                "{A} returns a {item} bought {bought} because it {fault}. Without a receipt, {B} "
                "can only offer {what}, "
            )
            + outcome,
            key="item fault bought",
        )
        return
    s.a("Yes, here it is.", "[Of course|Sure]. I paid {price}.", "Yes. It cost {price}.")
    s.b(
        "{thanks}. Would you like a new one or your money back?",
        "Would you like another one or a refund?",
    )
    if s.chance(0.5):
        s.a("[My money|A refund], please.", "I'd rather have my money back.")
        s.b("[No problem|Of course]. [Here's|That's] {price}.", "Here is your {price}.")
        s.a("{thanks}.", p=0.3)
        s.summarize(
            (
                "{A} returns a {item} bought {bought} because it {fault}. {B} checks the receipt "
                "and gives {A} {price} back."
            ),
            key="item fault bought",
        )
        return
    s.draw("color", "a black one; a blue one; a red one; a green one; a white one; a gray one")
    s.a("[Another one, please|A new one]. Do you have {color}?", "I'd like {color} this time.")
    s.b("[Yes, here you are|We do. Here it is|Sure, I'll get it].")
    s.a("{great}. {thanks}.", p=0.4)
    s.summarize(
        (
            "{A} returns a {item} bought {bought} because it {fault}. {B} checks the receipt, and "
            "{A} takes {color} instead."
        ),
        key="item fault bought",
    )


def bank(s: Scene) -> None:
    """A customer has lost a bank card; was the last payment a thief's?"""
    places = (
        "on the bus; on the train; at the beach; in a taxi; at the market; at a concert; in "
        "the park; at the airport; at the gym; at the museum"
    )
    s.draw("place", places)
    s.draw(
        "shop",
        (
            "a supermarket; a gas station; a shoe store; a bookstore; a bakery; a pharmacy; an "
            "online store; a toy store; a restaurant; a bar"
        ),
    )
    s.draw("amount", "$14; $23; $38; $47; $62; $85; $95; $120")
    s.draw("days", "two days; three days; four days; five days; a week")
    s.person("A")
    s.slip("place", places)
    s.welcome("{hello}.", "[City|Central|National] Bank.")
    s.a(
        "[I think I lost|I've lost] my bank card {place}.",
        "{hello}. I lost my card {place}.",
        "My card is gone! I think I left it {place}.",
    )
    s.b(
        "[I'm sorry|Oh dear]. What's your name, please?", "Don't worry. [Can|May] I have your name?"
    )
    s.a("{name}.", "[It's|My name is] {name}.")
    s.wait()
    s.b(
        "{thanks}, {title}. Did you spend {amount} at {shop}?",
        "I see a payment of {amount} at {shop}. Was that you?",
    )
    if s.chance(0.5):
        s.a("Yes, that was me. Please block [it|the card] now.", "Yes. What happens now?")
        s.b(
            "[I've blocked it|It's blocked now]. A new card will take {days}.",
            "I'll block it. You'll have a new one in {days}.",
        )
        outcome = (
            "but confirms a payment of {amount} at {shop}. {B} blocks the card and sends a "
            "new one in {days}."
        )
    else:
        s.a(
            "[No, that wasn't me|No]! [I never shop there|I've never been there].",
            "What? No! Somebody has my card!",
        )
        s.b(
            "[Then we'll|We'll] pay it back. [I've blocked|I'm blocking] the card.",
            "I'll block it, and you'll get the money back.",
        )
        if s.chance(0.5):
            s.a("[Thank goodness|What a relief]. When do I get a new card?")
            s.b("[In|That takes] {days}.", "You'll have it in {days}.")
        outcome = (
            "but never spent {amount} at {shop}. {B} blocks the card and will pay the money back."
        )
    s.a("[Thanks|Thank you] for your help.", p=0.4)
    s.summarize("{A} lost a bank card {place} " + outcome, key="place shop")
