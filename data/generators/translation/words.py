"""The vocabulary of the English-French task set: words, and which words make sense together.

A kind groups nouns that can take each other's place ("fruit", "clothes", "room"). Verbs and
adjectives name the kinds (or single nouns, or the groups in `GROUPS`) they go with: people eat
fruit, not ideas. Every English word has one French word, so the meaning of a sentence is made of
the meanings of its parts. Tables are text, one entry between commas, because that is the form in
which they can be read and checked. An underscore stands for a space inside a name.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

# kind: "english french gender", and for professions the French feminine as a fourth word.
NOUN_TABLE: dict[str, str] = {
    "family": """mother mère f, father père m, brother frère m, sister sœur f, son fils m,
        daughter fille f, uncle oncle m, aunt tante f, grandmother grand-mère f, grandfather
        grand-père m, cousin cousin m, husband mari m, wife femme f, nephew neveu m, niece
        nièce f""",
    "people": """man homme m, woman femme f, boy garçon m, girl fille f, child enfant m, friend
        ami m, neighbor voisin m, guest invité m, tourist touriste m""",
    "infant": "baby bébé m",
    "job": """doctor médecin m médecin, baker boulanger m boulangère, teacher professeur m
        professeure, student étudiant m étudiante, nurse infirmière f infirmière, engineer
        ingénieur m ingénieure, lawyer avocat m avocate, singer chanteuse f chanteuse, dancer
        danseuse f danseuse, actor acteur m acteur, actress actrice f actrice, writer écrivain m
        écrivaine, farmer agriculteur m agricultrice, waiter serveur m serveur, cook cuisinier m
        cuisinière, painter peintre m peintre, journalist journaliste m journaliste, dentist
        dentiste m dentiste, mechanic mécanicien m mécanicienne, musician musicien m musicienne,
        butcher boucher m bouchère, gardener jardinier m jardinière, hairdresser coiffeuse f
        coiffeuse, soldier soldat m soldate, judge juge m juge, pilot pilote m pilote, architect
        architecte m architecte, secretary secrétaire f secrétaire, photographer photographe m
        photographe""",
    "pet": "cat chat m, dog chien m, horse cheval m, bird oiseau m, rabbit lapin m, duck canard m",
    "wild": """cow vache f, sheep mouton m, pig cochon m, mouse souris f, hen poule f, wolf loup
        m, lion lion m, monkey singe m, snake serpent m, bear ours m, fox renard m""",
    "fruit": """apple pomme f, orange orange f, pear poire f, strawberry fraise f, cherry cerise
        f, peach pêche f, banana banane f, lemon citron m, melon melon m, tomato tomate f, carrot
        carotte f, potato pomme_de_terre f, onion oignon m, mushroom champignon m, bean haricot m,
        egg œuf m""",
    "dish": """cake gâteau m, pie tarte f, omelet omelette f, sandwich sandwich m, cookie biscuit
        m, pancake crêpe f, croissant croissant m, pizza pizza f""",
    "staple": """bread pain m, cheese fromage m, butter beurre m, meat viande f, chicken poulet m,
        rice riz m, fish poisson m, soup soupe f, salad salade f, chocolate chocolat m, honey miel
        m, jam confiture f, ham jambon m""",
    "drink": """water eau f, coffee café m, tea thé m, milk lait m, wine vin m, beer bière f,
        lemonade limonade f, juice jus m""",
    "meal": "breakfast petit_déjeuner m, lunch déjeuner m, dinner dîner m, meal repas m",
    "clothes": """dress robe f, shirt chemise f, coat manteau m, hat chapeau m, skirt jupe f,
        sweater pull m, scarf écharpe f, jacket veste f, tie cravate f, suit costume m, belt
        ceinture f, uniform uniforme m, cap casquette f""",
    "pair": "shoe chaussure f, glove gant m, sock chaussette f, boot botte f",
    "text": """book livre m, letter lettre f, newspaper journal m, novel roman m, poem poème m,
        story histoire f, message message m, report rapport m, article article m, magazine
        magazine m, recipe recette f""",
    "furniture": """table table f, chair chaise f, bed lit m, sofa canapé m, mirror miroir m,
        carpet tapis m, shelf étagère f, desk bureau m, armchair fauteuil m, clock horloge f,
        cupboard placard m, curtain rideau m""",
    "opening": "door porte f, window fenêtre f, gate portail m, drawer tiroir m",
    "container": """box boîte f, suitcase valise f, bag sac m, package paquet m, basket panier m,
        envelope enveloppe f, bottle bouteille f""",
    "tableware": """glass verre m, plate assiette f, cup tasse f, knife couteau m, fork fourchette
        f, spoon cuillère f, bowl bol m""",
    "device": """phone téléphone m, computer ordinateur m, camera appareil_photo m, radio radio f,
        television télévision f, printer imprimante f, oven four m, lamp lampe f""",
    "vehicle": """car voiture f, bicycle vélo m, truck camion m, boat bateau m, motorcycle moto f,
        tractor tracteur m""",
    "transport": "train train m, bus bus m, plane avion m, taxi taxi m",
    "thing": """key clé f, ring bague f, gift cadeau m, toy jouet m, puzzle puzzle m, doll poupée
        f, pen stylo m, pencil crayon m, ticket billet m, map carte f, wallet portefeuille m,
        passport passeport m, candle bougie f, blanket couverture f, towel serviette f, watch
        montre f, notebook cahier m, umbrella parapluie m, jewel bijou m""",
    "tool": "ladder échelle f, hammer marteau m, rope corde f, needle aiguille f, shovel pelle f",
    "plant": "flower fleur f, tree arbre m, rose rose f, plant plante f",
    "nature": """mountain montagne f, river rivière f, lake lac m, forest forêt f, island île f,
        star étoile f, hill colline f""",
    "unique": "moon lune f, sun soleil m, sky ciel m, sea mer f",
    "room": """kitchen cuisine f, bedroom chambre f, living_room salon m, bathroom salle_de_bain
        f, cellar cave f, garage garage m, balcony balcon m, garden jardin m""",
    "building": """museum musée m, castle château m, church église f, house maison f,
        restaurant restaurant m, hotel hôtel m, school école f, library bibliothèque f,
        hospital hôpital m, theater théâtre m, bank banque f, bakery boulangerie f, pharmacy
        pharmacie f, store magasin m, farm ferme f, university université f, factory usine f,
        apartment appartement m""",
    "town": """park parc m, market marché m, station gare f, beach plage f, office bureau m,
        cinema cinéma m, airport aéroport m, pool piscine f, post_office poste f""",
    "area": """city ville f, village village m, street rue f, square place f, bridge pont m,
        port port m""",
    "film": "movie film m, show spectacle m",
    "art": "song chanson f, painting tableau m, photo photo f, drawing dessin m",
    "event": """party fête f, meeting réunion f, wedding mariage m, trip voyage m, concert concert
        m, exhibition exposition f, game match m""",
    "matter": """idea idée f, problem problème m, question question f, answer réponse f, mistake
        erreur f, secret secret m, plan plan m, project projet m, lesson leçon f, exercise
        exercice m, exam examen m, rule règle f, dream rêve m, decision décision f""",
    "language": """French français m, English anglais m, Spanish espagnol m, Italian italien m,
        German allemand m, Chinese chinois m, Arabic arabe m, Portuguese portugais m""",
    "subject": "history histoire f, music musique f, chemistry chimie f, biology biologie f",
    "sport": """football football m, tennis tennis m, basketball basket m, rugby rugby m,
        chess échecs mp""",
    "instrument": """piano piano m, guitar guitare f, violin violon m, flute flûte f,
        trumpet trompette f""",
    "body": "hand main f, face visage m, tooth dent f, foot pied m",
    "ache": "head tête f, back dos m, stomach ventre m, arm bras m, leg jambe f, throat gorge f",
}

GROUPS: dict[str, str] = {
    "person": "family people job",
    "animal": "pet wild",
    "food": "fruit dish staple",
    "mass": "staple drink",  # uncountable: "some bread", "du pain"
    "goods": "clothes pair furniture tableware device vehicle thing container tool",
    "place": "building town area",
    "sight": "castle church house museum village bridge garden nature port square",
}

# "english french position kinds": b before the noun, a after it, p only after the verb "to be".
ADJECTIVE_TABLE = """
    young jeune b people job animal,
    old vieux b man woman friend neighbor job animal goods text building area tree,
    tall grand b family people job tree,
    kind gentil b family people job,
    happy heureux a family people baby job,
    sad triste a family people baby text film song,
    rich riche a people job,
    poor pauvre a farmer neighbor man woman family student city village,
    famous célèbre a job book novel poem song painting museum restaurant city,
    shy timide a family people job,
    proud fier p person,
    intelligent intelligent a family people job pet,
    patient patient a family people job,
    polite poli a family people job,
    strong fort a man woman boy girl soldier farmer horse tea coffee,
    sick malade a family people baby pet,
    busy occupé p person,
    worried inquiet p person,
    furious furieux p person,
    brave courageux a family people job,
    curious curieux a family people pet,
    serious sérieux a family people job problem mistake,
    honest honnête a family people job answer,
    lazy paresseux a family people student cat,
    funny drôle a family people job story movie show,
    nervous nerveux p person,
    generous généreux a family people job,
    jealous jaloux p person,
    tired fatigué p person,
    ready prêt p person,
    alone seul p person,
    French français a job people car wine cheese movie song novel newspaper,
    Italian italien a job people car wine restaurant movie song recipe city,
    American américain a job people car movie novel newspaper city,
    Spanish espagnol a job people wine song city restaurant,
    German allemand a job people car beer city newspaper,
    English anglais a job people song novel newspaper city,
    big grand b furniture device vehicle container dish building area garden kitchen bedroom lake
        forest city park market store plate glass,
    small petit b furniture device vehicle container tableware pet dish building area room lake
        island plant thing,
    new nouveau b goods text building opening job neighbor friend idea film art office park,
    beautiful beau b unique woman girl baby clothes building area nature flower tree rose bird
        horse garden film art text ring watch jewel,
    pretty joli b girl clothes flower ring doll house village song photo drawing lamp plate cup,
    expensive cher a clothes pair furniture device vehicle ring jewel watch gift restaurant hotel
        house apartment ticket wine,
    heavy lourd a container furniture ladder hammer blanket,
    light léger a bag suitcase jacket meal tool bicycle,
    broken cassé a tableware device chair mirror clock toy doll umbrella watch window pencil,
    clean propre a clothes pair tableware towel room blanket curtain street hotel beach,
    dirty sale a clothes pair tableware towel room carpet window car truck dog street blanket,
    useful utile a tool device map notebook book idea answer recipe,
    useless inutile a meeting rule gift question report,
    strange étrange a dream idea story question answer letter message man painting,
    modern moderne a furniture device building apartment kitchen painting city,
    round rond a table mirror box carpet clock lamp basket window cake,
    comfortable confortable a chair sofa bed armchair shoe boot house hotel train car apartment,
    fragile fragile a glass plate cup bowl bottle toy,
    precious précieux a ring jewel painting watch,
    wet mouillé a clothes pair towel blanket umbrella carpet dog,
    dry sec a clothes towel wine bread,
    red rouge a clothes pair flower rose car bicycle door bag box pen pencil apple wine,
    blue bleu a clothes pair flower car bicycle door bag box pen plate curtain boat sky,
    green vert a clothes pair car door bag box pen apple bean bottle hill curtain,
    yellow jaune a clothes flower rose bag box pencil lemon bird umbrella taxi house,
    white blanc a clothes pair flower rose animal car house cup plate horse wine bread table,
    black noir a clothes pair pet bag car umbrella wallet suitcase motorcycle coffee chocolate
        pen,
    gray gris a clothes pet mouse wolf car house sky carpet suitcase,
    brown brun a bear horse hen boot bag,
    pink rose a dress skirt scarf flower box notebook blanket curtain,
    purple violet a dress scarf flower tie curtain notebook,
    delicious délicieux a fruit dish staple meal drink,
    fresh frais a fish bread egg juice fruit milk butter,
    hot chaud a soup coffee tea milk meal bread croissant,
    cold froid a water milk soup meal beer lemonade meat coffee,
    sweet sucré a cake juice tea lemonade pancake pie,
    good bon b dish staple drink meal job friend text film idea restaurant hotel,
    bad mauvais b wine coffee meal restaurant idea dream film answer student teacher,
    excellent excellent b dish meal job idea wine restaurant film answer,
    ripe mûr a apple pear peach banana melon tomato cherry strawberry,
    interesting intéressant a text film exhibition museum idea project lesson trip meeting city,
    boring ennuyeux a text film lesson meeting city,
    long long b letter story poem movie trip meeting street bridge dress report novel answer
        rope,
    short court a letter story poem movie skirt trip meeting article answer,
    difficult difficile a exam exercise question lesson decision game text problem,
    easy facile a exam exercise question lesson recipe game,
    important important a meeting letter message decision question exam project rule report,
    simple simple a recipe question answer rule exercise idea plan meal,
    complicated compliqué a problem project plan rule question story,
    dangerous dangereux a animal street trip river mountain idea game plan,
    perfect parfait a plan answer gift meal dress apartment,
    quiet calme a baby street village hotel beach park library house garden lake,
    noisy bruyant a street city restaurant hotel neighbor child bird dog truck motorcycle printer
        market station,
    magnificent magnifique a sight dress party show concert horse garden ring painting,
    dark sombre a room forest street house sky church castle hotel restaurant,
    empty vide a container glass bowl drawer street room house bus train,
    full plein a container glass bowl drawer bus train theater,
    deep profond a river lake forest sea bowl,
    wide large b street river bridge bed desk sofa table belt square,
    narrow étroit a street bridge bed kitchen balcony door gate window cupboard garage,
    fast rapide a car train plane taxi bicycle boat horse motorcycle computer,
    slow lent a train bus boat computer tractor,
    fat gros b cat dog pig man rabbit,
    thin maigre a cat dog horse cow,
    wild sauvage a horse duck rabbit animal,
    elegant élégant a woman man clothes pair house hotel
"""

# Where one is at a place: "english french", then the nouns; all others are in, dans.
PLACE_TABLE = {
    "at à": """museum restaurant hotel school library hospital theater bank bakery pharmacy
        university market station beach cinema airport pool post_office party wedding
        office port""",
    "on à": "farm",
    "on sur": "square balcony bridge island",
    "on dans": "train bus",
    "in sur": "photo",
}

NAMES = """Marie f, Paul m, Julie f, Pierre m, Sophie f, Thomas m, Claire f, Lucas m, Emma f,
Antoine m, Alice f, Nicolas m, Louis m, Anna f, Éric m"""

# "english | french", with the French preposition.
REGIONS = """Paris | à Paris, London | à Londres, Lyon | à Lyon, Rome | à Rome, Berlin | à Berlin,
    Brussels | à Bruxelles, Marseille | à Marseille, Geneva | à Genève, France | en France,
    Italy | en Italie, Spain | en Espagne, Germany | en Allemagne, England | en Angleterre,
    China | en Chine, Canada | au Canada, Japan | au Japon, Portugal | au Portugal,
    Brazil | au Brésil, Morocco | au Maroc, the United States | aux États-Unis"""

# Times by what they go with: "far" ones suit what is done once a year (building, traveling),
# not eating.
TIMES: dict[str, str] = {
    "past": """yesterday | hier, last night | hier soir, last week | la semaine dernière,
        this morning | ce matin, two days ago | il y a deux jours, yesterday morning | hier matin,
        last Monday | lundi dernier, last Friday | vendredi dernier, an hour ago | il y a une heure,
        last weekend | le week-end dernier""",
    "past far": """last year | l'année dernière, last month | le mois dernier, a year ago | il
        y a un an, last summer | l'été dernier, three weeks ago | il y a trois semaines, last
        winter | l'hiver dernier, five years ago | il y a cinq ans""",
    "future": """tomorrow | demain, tonight | ce soir, soon | bientôt, in two days | dans deux
        jours, next Tuesday | mardi prochain, in an hour | dans une heure, tomorrow morning |
        demain matin, next Saturday | samedi prochain, later | plus tard, this weekend | ce
        week-end""",
    "future far": """next week | la semaine prochaine, next year | l'année prochaine, next
        month | le mois prochain, next summer | l'été prochain, next winter | l'hiver prochain,
        in three weeks | dans trois semaines""",
    "now": "now | maintenant, at the moment | en ce moment, today | aujourd'hui",
    "habit": """every day | tous les jours, every morning | chaque matin, every evening |
        chaque soir, on Sundays | le dimanche, on Mondays | le lundi, on Thursdays | le jeudi,
        in the morning | le matin, in the evening | le soir, on Wednesdays | le mercredi""",
    "habit far": """every week | chaque semaine, every summer | chaque été, every year | chaque
        année, every month | chaque mois""",
}

FREQUENCY = (
    "always | toujours, often | souvent, sometimes | parfois, rarely | rarement, also | aussi"
)

MANNER = (
    """slowly | lentement, carefully | soigneusement, quickly | rapidement, with care | avec soin"""
)

NUMBERS = """two deux, three trois, four quatre, five cinq, six six, seven sept, eight huit,
    nine neuf, ten dix, eleven onze, twelve douze, twenty vingt, thirty trente"""


@dataclass(frozen=True)
class Noun:
    """A noun: `en` is also its name in the held-out rule."""

    en: str
    fr: str
    gender: str  # "m" or "f"
    kind: str
    feminine: str = ""  # the French profession of a woman
    plural_only: bool = False

    @property
    def masculine(self) -> str:
        """Returns the French profession of a man if the noun is feminine: infirmière, infirmier."""
        for ending, masculine in (("euse", "eur"), ("ière", "ier")):
            if self.gender == "f" and self.fr.endswith(ending):
                return self.fr.removesuffix(ending) + masculine
        return self.fr

    @property
    def mass(self) -> bool:
        return self.kind in GROUPS["mass"].split()


@dataclass(frozen=True)
class Adjective:
    en: str
    fr: str
    position: str  # "b" before the noun, "a" after it, "p" predicate only
    nouns: tuple[Noun, ...]


def entries(table: str, separator: str = ",") -> list[str]:
    """Returns the entries of a table, without the line breaks and indentation that lay it out."""
    return [" ".join(entry.split()) for entry in table.split(separator) if entry.strip()]


def pairs(table: str) -> list[tuple[str, str]]:
    """Returns the (english, french) entries of a table written "english | french, ..."."""
    return [(en.strip(), fr.strip()) for en, fr in (entry.split("|") for entry in entries(table))]


def _noun(kind: str, entry: str) -> Noun:
    en, fr, gender, *feminine = (word.replace("_", " ") for word in entry.split())
    return Noun(en, fr, gender[0], kind, "".join(feminine), plural_only=gender.endswith("p"))


NOUNS: list[Noun] = [_noun(kind, e) for kind, table in NOUN_TABLE.items() for e in entries(table)]


@cache
def nouns(names: str) -> tuple[Noun, ...]:
    """Returns the nouns of the kinds, groups and single nouns named, each once, in table order."""
    wanted: set[str] = set()
    for name in names.split():
        wanted.update(GROUPS.get(name, name).split())
    wanted = {name.replace("_", " ") for name in wanted}
    return tuple(noun for noun in NOUNS if noun.kind in wanted or noun.en in wanted)


def _adjective(entry: str) -> Adjective:
    en, fr, position, *kinds = entry.split()
    return Adjective(en, fr, position, nouns(" ".join(kinds)))


ADJECTIVES: list[Adjective] = [_adjective(entry) for entry in entries(ADJECTIVE_TABLE)]


def names(words: str) -> frozenset[str]:
    """Returns the words of a list in text form; an underscore stands for a space in a name."""
    return frozenset(word.replace("_", " ") for word in words.split())
