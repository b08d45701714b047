"""Names, days, times and small phrases that every dialogue situation shares.

Lists are written as one string with "; " between the entries, as `scene.Scene.draw`
reads them.
"""

WOMEN = (
    "Anna; Maria; Julia; Emma; Laura; Sarah; Nina; Helen; Rachel; Olivia; Grace; Linda; Susan; Kate"
)
MEN = (
    "David; Peter; Mark; Daniel; Paul; Tom; Simon; Victor; Robert; Adam; Kevin; Frank; Eric; Henry"
)
SURNAMES = (
    "Carter; Miller; Baker; Nelson; Cooper; Morgan; Turner; Walker; Parker; Bennett; "
    "Foster; Hughes; Kelly; Reed; Palmer; Wood; Grant; Shaw; Hart; Lane"
)

DAYS = "Monday; Tuesday; Wednesday; Thursday; Friday; Saturday; Sunday"
WORKDAYS = "Monday; Tuesday; Wednesday; Thursday; Friday"
MORNING_TIMES = "nine o'clock; 9:30; ten o'clock; 10:15; 10:30; eleven o'clock; 11:30"
AFTERNOON_TIMES = "one o'clock; 1:30; two o'clock; 2:30; three o'clock; 3:30; four o'clock; 4:30"
EVENING_TIMES = "six o'clock; 6:30; seven o'clock; 7:30; eight o'clock; 8:30; nine o'clock"

# Words that a speaker reaches for in any situation; {um} in a wording stands for one of these.
PHRASES = {
    "um": "[|||||well, |um, |uh, ]",
    "ok": "[OK|all right|fine|that's fine]",
    "great": "[great|perfect|wonderful|good]",
    "thanks": "[thanks|thanks|thank you|thank you|thanks a lot]",
    "moment": "[one moment, please|just a second|let me check|let me have a look|let me see]",
    "sorry": "[I'm sorry, but|sorry, but|I'm afraid|unfortunately,]",
    "see": "[I see|OK|all right|right|got it]",
    "how": "[can I help you|how can I help you|what can I do for you|how may I help you]",
}

# The greeting of a whole scene, so that nobody says good evening in the morning.
DAYTIMES = ("good morning", "good afternoon")

# A remark and an answer, for two strangers at a desk and for two people who know each other.
STRANGER_TALK = (
    ("It's [so|really] [hot|cold|busy] in here today.", "[It is|It really is|Yes, it is]."),
    ("Sorry [to keep you waiting|for the wait].", "[That's all right|No problem|Don't worry]."),
    ("How are you[ today|]?", "[Fine, thanks|Very well, thank you|Not bad, thanks]."),
    ("Terrible weather today.", "[Yes, awful|It is|At least it's dry in here]."),
)
FRIEND_TALK = (
    ("How are you?", "[Fine, thanks|Not bad, a bit tired|Pretty good, thanks]."),
    ("How was your weekend?", "[Quiet, but nice|Too short|Great, thanks]."),
    ("You look tired.", "[I am|I slept badly|It's been a long day]."),
    ("I haven't seen you for ages!", "[I know, I've been busy|Yes, it's been a while]."),
)
