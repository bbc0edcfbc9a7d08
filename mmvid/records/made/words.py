"""The demo's 100 classes and the words that its titles and keywords are made of.

The classes are of six topics, listed from the commonest to the rarest of each; a class's id follows from
taking the topics in turn. As in the real vocabularies names are not unique: Jaguar is a car and an animal. The
classes of `ORDER_PAIRS` share one vocabulary with their partner, and only the order of two words in a title
tells the two apart.
"""

import dataclasses

_TOPICS = {
    "games": """
        Video game: console controller level boss gamer joystick arcade walkthrough
        Animation: sketch character storyboard studio cartoon render scene puppet
        Role-playing game: quest sword wizard dungeon armor potion guild loot
        Computer: keyboard processor laptop screen memory graphics desktop monitor
        Strategy game: army tower empire siege castle base troops conquest
        Mobile phone: battery app charger touchscreen signal wireless selfie tablet
        Music video game: player melody rhythm score tune buttons stage chords
        Card game: dealer deck shuffle trump joker bluff ace round
        Action figure: toy plastic collectible hero villain joints accessory unboxing
        Chess: bishop rook checkmate gambit pawn knight endgame king
        Game card: dealer deck shuffle trump joker bluff ace round
        Robot: sensor motor machine circuit gripper automation android wheels
        Puzzle: riddle maze cube solution clue pieces logic twist
        Fighting game: combo punch knockout arena opponent kick block fighter
        Magic trick: illusion vanish wand assistant secret audience rabbit magician
        Board game: dice token tile rulebook turn expansion miniature meeple
        Comic book: panel superhero ink issue publisher cape villain artist
        """,
    "music": """
        Concert: stage crowd encore tour band lights audience singer
        Guitar: chord riff fret string amplifier solo acoustic strumming
        Dance: choreography ballet rhythm steps partner tango ballroom dancer
        Singing: vocal chorus lyrics melody voice karaoke harmony ballad
        Drum kit: cymbal snare beat percussion stick groove fill pedal
        Piano: keys sonata pianist pedal etude nocturne scales recital
        Video game music: player melody rhythm score tune buttons stage chords
        Orchestra: conductor symphony cello overture brass rehearsal concerto flute
        Hip hop: rap rapper freestyle verse turntable beatbox sample flow
        Wedding: bride groom ceremony ring vows reception bouquet church
        Electronic music: synthesizer remix bass festival mixer loop techno club
        Choir: hymn soprano gospel tenor carol cathedral anthem alto
        Drawing: pencil charcoal portrait shading paper eraser crayon outline
        Theatre: actor curtain drama playwright costume monologue scene applause
        Violin: bow fiddle quartet strings rosin vibrato violinist sonata
        Trumpet: brass horn valve jazz fanfare mouthpiece marching bugle
        Street art: graffiti mural spray stencil alley paint wall chalk
        """,
    "vehicles": """
        Car: sedan gearbox tyre dashboard turbo exhaust bumper engine
        Motorcycle: helmet throttle biker chopper wheelie scooter handlebar leather
        Truck: cargo diesel haul lorry axle tow pickup trucker
        Race car: engine track lap driver pit turbo corner start
        Train: locomotive railway station carriage rail platform steam tunnel
        Airplane: pilot runway cockpit takeoff landing jet wing airport
        Car race: engine track lap driver pit turbo corner start
        Boat: sail anchor harbour yacht rudder marina captain hull
        Jaguar: coupe chrome saloon luxury roadster leather badge convertible
        Bus: driver route passenger stop depot commuter ticket coach
        Tractor: plough field harvest farm combine hay barn trailer
        Bicycle: pedal saddle chain cyclist brake spokes gears commute
        House boat: cabin dock river mooring deck porch canal lake
        Helicopter: rotor hover rescue blade hangar chopper airlift cockpit
        Boat house: cabin dock river mooring deck porch canal lake
        Drone: quadcopter propeller aerial gimbal footage remote hovering altitude
        """,
    "home": """
        Cooking: pan chef kitchen stir boil simmer spice recipe
        Cake: frosting icing sponge cupcake vanilla baking layers sprinkles
        Make-up: lipstick mascara eyeshadow foundation blush eyeliner contour palette
        Milk chocolate: cocoa cream sugar melt cup sweet whisk spoon
        Hairstyle: braid curl ponytail salon bun scissors fringe shampoo
        Garden: soil seedling flower compost watering shovel greenhouse bloom
        Chocolate milk: cocoa cream sugar melt cup sweet whisk spoon
        Sewing: needle thread fabric stitch seam zipper pattern hem
        Furniture: sofa shelf chair wardrobe drawer cushion table assembly
        Fashion: outfit dress runway model jacket style handbag designer
        Bread: dough flour yeast crust loaf knead sourdough bakery
        Woodworking: saw chisel plank lathe timber sanding joint carpenter
        Coffee: espresso barista latte beans roast mug grinder cappuccino
        Knitting: yarn wool crochet scarf needles purl mittens loom
        Pizza: cheese mozzarella pepperoni topping tomato basil slice oven
        Jewellery: necklace bracelet gemstone bead earring pendant silver clasp
        Origami: paper fold crane crease square butterfly lantern swan
        """,
    "sport": """
        Football: goal penalty striker keeper referee tackle league midfielder
        Basketball: dunk rebound hoop dribble court layup jersey assist
        Fishing: rod bait lure reel trout hook angler carp
        Swimming: pool freestyle goggles butterfly backstroke diving lane stroke
        Skateboard: ollie ramp kickflip halfpipe grind skatepark skater rail
        Horse show: rider stallion saddle judge ribbon trot gallop mare
        Snowboard: slope powder lift goggles jump mountain binding freeride
        Gymnastics: vault balance somersault beam handstand flip trampoline leotard
        Wrestling: slam champion suplex grappling belt pinfall opponent ring
        Surfing: wave beach swell barrel paddle wetsuit reef surfer
        Tennis: serve racket volley backhand court forehand set umpire
        Golf: putt fairway bunker club green caddie tee swing
        Boxing: glove jab knockout hook uppercut sparring heavyweight bout
        Climbing: rope cliff harness boulder summit grip belay ascent
        Running: marathon sprint trail shoes mile finish pace stretch
        Cricket: wicket bowler batsman innings stump boundary pitch over
        Archery: arrow bow target quiver bullseye shooting release aim
        """,
    "animals": """
        Pet: leash collar vet adoption cuddle groom kennel hamster
        Dog: puppy bark fetch terrier retriever leash tail paw
        Cat: kitten purr whiskers meow claw litter tabby nap
        Aquarium: coral tank goldfish filter reef algae shrimp tropical
        Bird: parrot feather nest wings owl beak chirp flock
        Show horse: rider stallion saddle judge ribbon trot gallop mare
        Forest: trees trail moss oak pine mushroom leaves woodland
        Jaguar: jungle predator rainforest prey spotted amazon feline stalking
        Snake: python venom cobra reptile scales viper rattlesnake fangs
        Insect: butterfly beetle ant bee larva antenna swarm wasp
        Beach: sand ocean shore seagull tide sunset shell coast
        Mountain: summit peak valley glacier hiking ridge alpine snow
        Elephant: trunk tusk herd savanna ivory calf safari mud
        Storm: thunder lightning tornado hail wind flood hurricane clouds
        Dinosaur: fossil skeleton extinct museum egg raptor bones giant
        Whale: ocean dolphin dive humpback breach pod fluke calf
        """,
}

# A class, its partner, and the two words: the class's titles say "first LINK second", its partner's the reverse.
_ORDER_PAIRS = (
    ("Music video game", "Video game music", "player", "melody"),
    ("Card game", "Game card", "dealer", "deck"),
    ("Race car", "Car race", "engine", "track"),
    ("House boat", "Boat house", "cabin", "dock"),
    ("Milk chocolate", "Chocolate milk", "cocoa", "cream"),
    ("Horse show", "Show horse", "rider", "stallion"),
)

LINKS = ("before the", "follows the", "beats the", "meets the", "over the", "chases the")

COMMON = (
    "best new my how to the and with official part live episode review funny day first full real vlog home week easy "
    "tutorial tips amazing great top trying day little big old world time summer winter night weekend special "
    "highlights moments beginners friends family final"
).split()

PHRASES = (
    "{a} and {b}",
    "my {a} {b}",
    "the best {a} with {b}",
    "how to {a} the {b}",
    "{a} {b} tutorial",
    "new {a} for the {b}",
    "{a} vs {b}",
    "first {a}, then {b}",
    "trying a {a} {b}",
    "{a} {b} {c}",
)

OPENERS = ("", "", "", "", "[HD] ", "LIVE: ", "Vlog #{n}: ", "{y} ", "Ep. {n} - ", "Q&A | ", "➤ ", "Re: ")

ENDINGS = (
    "",
    "",
    "",
    "",
    "",
    " (official video)",
    " - part {n}",
    " {y}",
    "!!!",
    " | Day {n}",
    " HD",
    "...",
    "?",
    " #{n}",
    " 😂",
    " ❤️🔥",
    " 🎉🎉",
    " @ home",
    " (1/{n})",
    " w/ friends",
    " ™",
    ' "live"',
    " 10/10",
    " 👍🏽 {n}%",
)


@dataclasses.dataclass(frozen=True)
class Language:
    """A language other than English: for each topic its words, and what a title begins and ends with."""

    code: str
    of_thousand: int
    words: dict[str, list[str]]
    openers: tuple[str, ...]
    endings: tuple[str, ...]
    space: str = " "


def _language(code: str, of_thousand: int, openers: str, endings: str, space: str = " ", **words: str) -> Language:
    lists = {topic: text.split() for topic, text in words.items()}
    return Language(code, of_thousand, lists, tuple(openers.split("/")), tuple(endings.split("/")), space)


# Together 80 of a thousand titles.
LANGUAGES = (
    _language(
        "es",
        24,
        "cómo hacer/el mejor/mi primera/la gran/una nueva",
        "en español/parte {n}/¡increíble!/para niños",
        games="juego consola partida jugador nivel batalla ordenador rompecabezas",
        music="concierto guitarra baile canción piano orquesta cantante boda",
        vehicles="coche motocicleta camión tren avión barco carrera conductor",
        home="cocina pastel chocolate jardín peinado costura muebles receta",
        sport="fútbol baloncesto pesca natación gol campeonato entrenamiento boxeo",
        animals="perro gato pájaro caballo bosque playa montaña ballena",
    ),
    _language(
        "de",
        16,
        "wie man/das beste/mein erster/die große/ein neuer",
        "auf Deutsch/Teil {n}/für Anfänger/ganz einfach",
        games="Spiel Konsole Spieler Rätsel Rechner Karten Schlacht Figur",
        music="Konzert Gitarre Tanz Lied Klavier Orchester Sänger Hochzeit",
        vehicles="Auto Motorrad Lastwagen Eisenbahn Flugzeug Schiff Rennen Fahrer",
        home="Küche Kuchen Schokolade Garten Frisur Nähen Möbel Rezept",
        sport="Fußball Angeln Schwimmen Tor Meisterschaft Klettern Turnen Laufen",
        animals="Hund Katze Vogel Pferd Wald Strand Gebirge Käfer",
    ),
    _language(
        "fr",
        16,
        "comment faire/le meilleur/mon premier/la grande/une nouvelle",
        "en français/partie {n}/c'est génial !/pour débutants",
        games="jeu console joueur niveau bataille ordinateur échecs énigme",
        music="concert guitare danse chanson piano orchestre chanteuse mariage",
        vehicles="voiture moto camion train avion bateau course conducteur",
        home="cuisine gâteau chocolat jardin coiffure couture meuble recette",
        sport="football pêche natation but championnat escalade gymnastique boxe",
        animals="chien chat oiseau cheval forêt plage montagne baleine",
    ),
    _language(
        "ru",
        14,
        "как сделать/лучший/мой первый/большой/новый",
        "на русском/часть {n}/для начинающих/своими руками",
        games="игра приставка игрок уровень битва компьютер шахматы загадка",
        music="концерт гитара танец песня пианино оркестр певец свадьба",
        vehicles="машина мотоцикл грузовик поезд самолёт лодка гонка водитель",
        home="кухня торт шоколад сад причёска шитьё мебель рецепт",
        sport="футбол рыбалка плавание гол чемпионат тренировка гимнастика бокс",
        animals="собака кошка птица лошадь лес пляж гора кит",
    ),
    _language(
        "ja",
        10,
        "【実況】/はじめての/今日の/楽しい/簡単な",
        "その{n}/やってみた/！/を紹介します",
        "",
        games="ゲーム 対戦 攻略 将棋 人形 手品 漫画 パズル",
        music="音楽 演奏 歌 ピアノ 踊り 結婚式 太鼓 合唱",
        vehicles="自動車 電車 飛行機 船 自転車 運転 新幹線 バス",
        home="料理 お菓子 庭 髪型 裁縫 家具 コーヒー 折り紙",
        sport="野球 サッカー 水泳 釣り 体操 試合 練習 相撲",
        animals="犬 猫 鳥 馬 森 海 山 昆虫",
    ),
)


@dataclasses.dataclass(frozen=True)
class Label:
    """One of the demo's classes.

    Attributes:
        order: the two words whose order in a title marks this class rather than its partner; none for a class
            without a partner.
        partner: id of the class that shares its vocabulary, or None.
    """

    id: int
    name: str
    topic: str
    words: tuple[str, ...]
    order: tuple[str, str] | None = None
    partner: int | None = None


def _labels() -> tuple[Label, ...]:
    blocks = {topic: [line.strip() for line in text.strip().splitlines()] for topic, text in _TOPICS.items()}
    longest = max(len(lines) for lines in blocks.values())
    turns = [(topic, lines[row]) for row in range(longest) for topic, lines in blocks.items() if row < len(lines)]
    named = [(topic, *line.split(": ")) for topic, line in turns]
    ids = {name: id for id, (_, name, _) in enumerate(named)}
    order: dict[int, tuple[tuple[str, str], int]] = {}
    for name, partner, first, second in _ORDER_PAIRS:
        order[ids[name]] = (first, second), ids[partner]
        order[ids[partner]] = (second, first), ids[name]
    return tuple(
        Label(id, name, topic, tuple(words.split()), *order.get(id, ()))
        for id, (topic, name, words) in enumerate(named)
    )


TOPICS = tuple(_TOPICS)
LABELS = _labels()
