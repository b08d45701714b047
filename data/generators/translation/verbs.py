"""The verbs of the English-French task set: what they go with, and when they can be said.

The tables are read as those of `words.py` are.
"""

from __future__ import annotations

from dataclasses import dataclass

from .words import Noun, names, nouns

# "english | french | object kinds | place kinds | flags". A preposition is part of the verb.
# Flags: s stative (never "is knowing"), g with a general object ("I like apples"), p also with
# "him, her, them",
# d with a definite object only, c concrete actions that "one does with care" (takes an adverb
# of manner).
VERB_TABLE = """
    eat | manger | fruit dish staple | kitchen restaurant garden balcony | c
    drink | boire | drink | kitchen restaurant balcony living_room garden | c
    prepare | préparer | dish soup salad meal coffee tea exam trip lesson | kitchen restaurant | c
    taste | goûter | dish staple wine soup | kitchen restaurant market | d
    serve | servir | dish soup drink meal guest | restaurant garden living_room |
    cut | couper | bread meat cheese cake pie apple onion carrot melon rope tree | kitchen | c
    buy | acheter | food drink clothes pair text furniture container device vehicle thing \
        tableware tool plant house painting instrument | market store |
    sell | vendre | fruit staple clothes pair furniture device vehicle flower house painting \
        jewel drink instrument | market store |
    see | voir | unique baby person animal film sight | park market beach station street | p s
    look at | regarder | baby nature painting photo drawing map person house clock unique | | p
    watch | regarder | film game television bird child | living_room | d
    read | lire | text | library garden living_room bedroom park train airport | c
    write | écrire | letter message novel poem story report article recipe book | bedroom \
        library office garden | c
    translate | traduire | text | office library | c
    open | ouvrir | opening container umbrella letter | | c
    close | fermer | opening box suitcase bag store school cupboard | | c d
    find | trouver | thing clothes pair container book letter answer job house hotel tool | \
        street garden bedroom cellar | p s
    lose | perdre | key ring wallet passport ticket umbrella pen watch glove hat scarf phone bag \
        notebook | street beach station park market | d s
    look for | chercher | thing pair clothes person pet tool restaurant hotel apartment book job \
        | garden street bedroom market | p
    forget | oublier | key umbrella passport ticket phone bag suitcase question answer wallet \
        hat coat | restaurant hotel train office | d s p
    wear | porter | clothes uniform ring | office party school |
    wash | laver | baby clothes pair tableware vehicle window dog fruit curtain | garden kitchen \
        bathroom | c
    iron | repasser | dress shirt skirt suit uniform tie curtain | living_room bedroom | c
    clean | nettoyer | room furniture oven window shoe carpet office | | c
    paint | peindre | unique room door gate flower sight chair cupboard horse | garden | c
    draw | dessiner | unique animal plant sight house plan map car | garden park school \
        living_room | c
    repair | réparer | device vehicle furniture clock gate toy shoe | garage garden | c
    use | utiliser | device tool tableware map pencil | office kitchen garage |
    break | casser | tableware mirror bottle toy window lamp camera chair | kitchen living_room | s
    hide | cacher | gift letter key ring box jewel secret toy book | bedroom cellar garden |
    rent | louer | vehicle house apartment suit | |
    drive | conduire | car truck bus tractor taxi | street city | c
    take | prendre | transport umbrella key map photo meal bag | |
    wait for | attendre | person transport letter answer guest | station airport park restaurant \
        street | p
    know | connaître | person sight song story secret rule answer hotel restaurant recipe | | p s d
    like | aimer | food drink animal film art language subject sport text | | g s
    love | adorer | unique fruit dish staple drink animal flower language subject sport poem \
        novel movie | | g s
    hate | détester | fruit staple drink snake mouse monkey exam meeting trip sport subject | | g s
    prefer | préférer | fruit dish staple drink animal language subject sport novel poem movie | \
        | g s
    help | aider | baby person | kitchen garden office | p
    meet | rencontrer | people job friend cousin | park station restaurant market airport | p s
    invite | inviter | people family job | restaurant theater wedding party | p s
    thank | remercier | person | | p s
    call | appeler | person taxi | office station hotel | p s
    listen to | écouter | baby person song radio story music bird concert | living_room bedroom \
        garden | p
    hear | entendre | baby animal person song story radio train car | garden bedroom street | p s
    follow | suivre | person animal car river | street park forest | p
    visit | visiter | museum castle church city village house island farm university factory \
        exhibition | | d
    understand | comprendre | matter text rule song person language | | s p
    explain | expliquer | problem question rule exercise lesson decision plan project answer \
        mistake game recipe story | school office | c
    learn | apprendre | language song poem rule lesson recipe | school university |
    study | étudier | language subject lesson map plan report | library university bedroom |
    teach | enseigner | language subject | school university |
    answer | répondre à | question letter message teacher child | | d
    choose | choisir | clothes gift dish wine fruit book ring movie cake hotel | store market | s
    plant | planter | flower tree rose carrot tomato potato bean onion | garden park | c
    carry | porter | baby container ladder chair table child | |
    send | envoyer | letter message package gift photo report article | office post_office | s
    receive | recevoir | letter message package gift photo answer guest | office hotel | s
    bring | apporter | dish drink gift food chair photo tool | office party school | s
    finish | finir | text meal project lesson exercise drawing | office school library | s
    begin | commencer | book novel report letter project lesson exercise drawing game | school \
        office | s
    fill | remplir | box basket bag bottle suitcase glass cup bowl | kitchen | c
    feed | nourrir | animal baby | garden farm |
    build | construire | house bridge boat castle church school hotel | |
    discover | découvrir | secret island castle mistake restaurant village answer | | s
    turn on | allumer | device candle | living_room kitchen bedroom | d
    turn off | éteindre | device candle | living_room kitchen bedroom | d
    photograph | photographier | unique baby person animal sight flower | garden park beach forest |
    correct | corriger | mistake exam text exercise lesson | school office | c
    solve | résoudre | problem | | c
    accept | accepter | gift idea decision answer plan project | | d s
    refuse | refuser | gift idea decision answer plan project meal | | d s
    need | avoir besoin de | thing tool device clothes vehicle instrument | | s
    talk about | parler de | matter trip film text person game music | office restaurant school | p
    think about | penser à | matter trip exam person game | | p
    dream of | rêver de | trip island house wedding beach | |
    remember | se souvenir de | lesson decision answer dream rule person trip song story | | s p d
    take care of | s'occuper de | child baby animal garden house guest plant | farm | p
    win | gagner | game car trip | | s
    miss | rater | transport exam | | s
    protect | protéger | child baby animal forest river lake island | |
    organize | organiser | event game | |
    cancel | annuler | event lesson exam | | d s
    attend | assister à | event lesson show | | s
    admire | admirer | unique sight painting dancer singer actor actress painter flower horse \
        dress | park city | s
    touch | toucher | animal clothes painting carpet | |
    measure | mesurer | room furniture opening tree | | c
    decorate | décorer | cake room tree house table school | |
    cook | cuisiner | meat fish chicken rice egg bean mushroom | kitchen | c
    play | jouer à | sport | garden school park beach |
    practice | jouer de | instrument | bedroom living_room school |
    speak | parler | language | office school | s
"""  # fmt: skip

# Verbs without an object: "english | french | subject kinds | place kinds | flags".
INTRANSITIVE_TABLE = """
    sleep | dormir | person animal baby | bedroom hotel garden living_room train farm airport |
    work | travailler | person | office hospital library factory store restaurant bank farm \
        bakery garden airport | c
    run | courir | person animal | park forest street beach garden |
    walk | marcher | person animal | park forest street beach city | c
    swim | nager | person duck bear | lake river pool sea |
    sing | chanter | person bird | church garden bathroom theater street |
    dance | danser | person | living_room square theater street party |
    laugh | rire | person baby | office kitchen school theater |
    cry | pleurer | person baby | bedroom street school |
    smile | sourire | person baby | office park photo |
    travel | voyager | person | |
    live | habiter | person | house apartment castle city village farm |
    arrive | arriver | person transport | station airport hotel beach office port | s
    leave | partir | person transport | | s
    go out | sortir | person | | s
    stay | rester | person pet | hotel house library bedroom office garden |
    fall | tomber | person | street garden bathroom kitchen | s
    come back | revenir | person | | s
    wait | attendre | person | station airport hotel office car street |
    eat | manger | person animal | kitchen restaurant garden balcony park | c
    read | lire | person | library garden living_room bedroom train park | c
    wake up | se réveiller | person pet baby | |
    get up | se lever | person | |
    go to bed | se coucher | person | |
    get dressed | s'habiller | person | bedroom bathroom | c
    rest | se reposer | person animal | garden bedroom hotel beach living_room |
    hurry | se dépêcher | person | |
    have fun | s'amuser | person | beach garden park party |
    get bored | s'ennuyer | person | office school museum |
    take a walk | se promener | person | park forest beach city street |
    sit down | s'asseoir | person | garden park kitchen restaurant airport |
    get lost | se perdre | person tourist | forest city museum market airport | s
    fall asleep | s'endormir | person pet baby | living_room train bedroom cinema |
    hide | se cacher | child boy girl cat mouse fox rabbit | garden cellar forest kitchen |
"""  # fmt: skip


@dataclass(frozen=True)
class Verb:
    """A verb: `en` and `fr` begin with the verb, and its particle or preposition follows."""

    en: str
    fr: str
    nouns: tuple[Noun, ...]  # possible objects, or possible subjects of a verb without an object
    places: tuple[Noun, ...]
    flags: str


def _verbs(table: str) -> list[Verb]:
    rows = [
        [cell.strip() for cell in line.split("|")] for line in table.splitlines() if line.strip()
    ]
    return [
        Verb(en, fr, nouns(kinds), nouns(places), flags) for en, fr, kinds, places, flags in rows
    ]


TRANSITIVE: list[Verb] = _verbs(VERB_TABLE)

INTRANSITIVE: list[Verb] = _verbs(INTRANSITIVE_TABLE)

WITH_OBJECT = {verb.en: verb for verb in TRANSITIVE}

VERBS = WITH_OBJECT | {verb.en: verb for verb in INTRANSITIVE}  # eat, read and hide are both

# Verbs whose English past is a state, an imparfait in French: "he knew" is "il connaissait".
STATES = {"know", "like", "love", "hate", "prefer", "need", "understand", "have"}

# How verbs go with tenses. Perceptions say "now" in the simple present; other stative verbs are
# events.
PERCEPTION = STATES | {"see", "hear", "remember", "speak"}

ACCIDENTS = {"lose", "forget", "break", "miss", "fall", "get lost"}  # nobody plans them

ONCE = names(
    """build discover win rent organize cancel plant accept refuse find choose begin attend
    decorate solve touch hide measure cry smile hurry fall_asleep sit_down get_bored"""
)

UNPLANNED = {"dream of", "think about", "remember", "cry", "get bored", "smile", "laugh"}

BRIEF = names("""sit_down hurry wake_up get_dressed smile laugh fall_asleep cry get_up""")

LONG = names(
    """travel visit build buy sell rent live work study learn teach discover win meet organize
    paint write translate plant leave arrive go repair decorate"""
)  # things that go with "last year"

TOGETHER = names(
    """eat drink dance travel walk work play visit prepare study live sing watch leave arrive
    wait organize rent build come_back go_out have_fun take_a_walk talk_about"""
)

IN_TOWN = names("""live work stay travel study rent arrive meet teach""")


def suitable(tense: str, verb: Verb) -> str:
    """Returns `tense`, or the nearest one that suits the verb."""
    stative = "s" in verb.flags.split()
    if verb.en in ACCIDENTS:
        return "past"
    if verb.en in STATES and tense not in ("present", "past", "used"):
        return "present"
    if verb.en == "live" and tense in ("past", "recent", "can"):
        return "was"
    if verb.en in UNPLANNED and tense in ("want", "would", "must", "can"):
        return "present"
    if stative and tense in ("was", "recent", "would"):
        return "past"
    if stative and tense == "present" and verb.en in ONCE:
        return "past"
    return tense
