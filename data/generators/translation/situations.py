"""What happens in the scenes of the English-French task set: tables for the sentence kinds."""

from __future__ import annotations

from .words import names

# How people feel without an adjective that agrees.
STATE_TABLE = """hungry | avoir faim, thirsty | avoir soif, cold | avoir froid, hot | avoir chaud,
    afraid | avoir peur, sleepy | avoir sommeil, right | avoir raison, wrong | avoir tort,
    late | être en retard, early | être en avance, lucky | avoir de la chance,
    on vacation | être en vacances"""

UNGRADED = names(
    """broken round excellent perfect delicious magnificent ready alone French Italian American
    Spanish German English red blue green yellow white black gray brown pink purple furious
    useless"""
)

# One says "too heavy", but hardly "too pretty".
WELCOME = names(
    """beautiful pretty famous fresh good useful comfortable kind intelligent honest brave elegant
    important precious funny clean happy proud generous strange ripe interesting patient polite
    modern ready quiet bad light wild rich"""
)

EXCLAIMED = names(
    """beautiful pretty funny strange interesting magnificent elegant long sad kind big good"""
)

DESCRIBED = """people job animal food drink clothes pair text furniture container tableware device
    vehicle thing tool plant nature room building area film art event matter opening transport
    unique town infant"""

NOT_COUNTED = names("""unique meal family language subject sport instrument nature""")

# What people do because of how they feel: verbs, or a verb and its object.
REASONS = {
    "tired": "sleep rest go_to_bed sit_down fall_asleep",
    "sleepy": "go_to_bed sleep fall_asleep rest",
    "hungry": "eat prepare:dish buy:fruit buy:dish cook:egg eat:dish eat:fruit cut:bread",
    "thirsty": "drink:water drink:juice drink:lemonade drink:tea buy:water buy:lemonade",
    "late": "run hurry take:taxi miss:train miss:bus call:taxi",
    "cold": "wear:coat wear:sweater wear:scarf close:window drink:tea look_for:blanket close:door",
    "hot": "open:window swim drink:lemonade drink:water open:door look_for:hat",
    "happy": "laugh dance sing smile",
    "sad": "cry write:letter write:poem listen_to:song",
    "sick": "rest go_to_bed cancel:meeting cancel:trip call:doctor cancel:party",
    "afraid": "cry close:door run turn_on:lamp",
    "worried": "call:doctor look_for:child call:friend",
    "busy": "cancel:party refuse:meal cancel:trip miss:train forget:umbrella forget:question",
    "on vacation": "travel swim read:novel rest visit:castle visit:museum rent:house",
    "alone": "cry get_bored sing watch:television call:friend",
    "jealous": "cry leave refuse:gift",
    "nervous": "cry forget:answer forget:ticket walk",
    "furious": "break:mirror break:plate leave close:door",
}

SAYING = {
    "think": "penser",
    "know": "savoir",
    "hope": "espérer",
    "believe": "croire",
    "say": "dire",
}

EVENTS = [
    ("it started to rain", "il a commencé à pleuvoir"),
    ("it started to snow", "il a commencé à neiger"),
    ("the phone rang", "le téléphone a sonné"),
    ("the lights went out", "les lumières se sont éteintes"),
]

# What may be done next with a thing, and how one may have come by it.
NEXT = {
    "read": "text",
    "eat": "dish fruit",
    "wear": "clothes pair",
    "use": "device tool",
    "repair": "vehicle clock chair",
    "open": "envelope package box bottle",
    "wash": "dress shirt towel apple pear",
    "translate": "text",
    "finish": "text",
    "sell": "vehicle jewel painting",
    "taste": "cake pie cheese jam",
    "plant": "flower rose tree",
    "find": "key ring wallet passport umbrella ticket",
    "paint": "door gate house chair",
    "hide": "gift jewel",
}

BEFORE = {
    "finish": "begin",
    "find": "look_for",
    "paint": "measure",
    "read": "buy choose receive",
    "wear": "buy choose",
    "open": "find carry",
    "hide": "buy receive",
}

FOUND = [
    ("in the garden", "dans le jardin"),
    ("under the bed", "sous le lit"),
    ("behind the sofa", "derrière le canapé"),
    ("in the cellar", "dans la cave"),
    ("on the table", "sur la table"),
]

# Nobody is kept from these, or they need no more than a moment.
HARDLY_WANTED = names(
    """need know sleep rest go_to_bed cry live smile laugh get_bored fall_asleep wait
    hurry get_up have_fun get_dressed turn_on turn_off open close touch follow hide
    wake_up sit_down look_at dream_of"""
)

COSTLY = {"buy", "travel", "visit", "rent", "build", "repair"}

ENDINGS = {
    "before going to bed": "avant de se coucher",
    "before leaving": "avant de partir",
    "before eating": "avant de manger",
    "before going out": "avant de sortir",
    "without talking": "sans parler",
    "while singing": "en chantant",
    "while smiling": "en souriant",
}

OPINIONS = {
    "easy": "facile",
    "difficult": "difficile",
    "important": "important",
    "useful": "utile",
    "possible": "possible",
    "impossible": "impossible",
    "necessary": "nécessaire",
    "useless": "inutile",
}

GIVING = {
    "give": ("donner", "thing text gift flower container"),
    "show": ("montrer", "photo drawing map letter house room painting"),
    "lend": ("prêter", "vehicle book tool umbrella pen clothes camera novel"),
    "send": ("envoyer", "letter message package gift photo"),
    "bring": ("apporter", "drink dish flower fruit chair blanket towel"),
    "sell": ("vendre", "vehicle house furniture painting device"),
    "offer": ("offrir", "gift flower ring rose watch book jewel doll"),
    "tell": ("raconter", "story dream secret"),
    "explain": ("expliquer", "problem rule exercise lesson game plan decision"),
}

ERRANDS_SET = names(
    """eat drink buy sell meet read study swim run play send learn rest see dance photograph
    teach work wait_for take_a_walk have_fun"""
)

GO_TO = names("""library restaurant school university store hotel theater hospital factory""")

SURFACES = {
    "on": ("sur", "table chair bed sofa armchair shelf desk carpet"),
    "under": ("sous", "table chair bed sofa armchair desk blanket"),
    "behind": ("derrière", "door sofa curtain mirror cupboard"),
    "in": ("dans", "box suitcase bag drawer cupboard basket kitchen bedroom cellar garage"),
    "near": ("près de", "window door lamp bed table oven"),
}

NEXT_TO = {"near": "près de", "in front of": "devant", "behind": "derrière", "next to": "à côté de"}

SUNNY = "swim take_a_walk eat play:sport plant:flower go_out wash:car photograph:nature paint:gate"

RAINY = """stay stay read:novel read:newspaper watch:film take:bus listen_to:radio prepare:soup
    wear:coat study:lesson drink:tea clean:room take:umbrella"""

TENSES = [
    "present",
    "present",
    "present",
    "present",
    "present",
    "past",
    "past",
    "past",
    "past",
    "past",
    "near",
    "near",
    "future",
    "future",
    "was",
    "used",
    "can",
    "must",
    "want",
    "would",
    "recent",
]

NEGATIVE = {
    "present": "not not not never no_longer",
    "past": "not not not never yet",
    "future": "not never",
    "near": "not",
    "can": "not",
    "must": "not never",
    "want": "not no_longer",
}

OWNED = names(
    """friend neighbor doctor dentist teacher lawyer secretary house apartment garden office"""
)

COMMON = names("""family people job wild building town area nature film event baby""")

NOT_TOGETHER = {
    ("break", "broken"),
    ("wash", "clean"),
    ("clean", "clean"),
    ("fill", "full"),
    ("hide", "big"),
    ("repair", "new"),
}
