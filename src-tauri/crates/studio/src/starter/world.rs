//! What exists in the shop: the Copper Kettle, a small café and bakery that nobody has ever visited.

/// The name of the shop.
pub const SHOP: &str = "the Copper Kettle";

/// A cup's size, if a product has sizes at all.
pub const SIZES: [&str; 3] = ["small", "medium", "large"];

/// What can be asked of a product beyond its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extra {
    /// Something about how it is made: "decaf", "toasted".
    Made(&'static str),
    /// Something added: "oat milk".
    Added(&'static str),
    /// Something left out, said as "no onion".
    LeftOut(&'static str),
}

impl Extra {
    /// How records name it.
    pub fn label(self) -> String {
        match self {
            Self::Made(what) | Self::Added(what) => what.to_owned(),
            Self::LeftOut(what) => format!("no {what}"),
        }
    }
}

/// Something the shop sells.
#[derive(Debug, PartialEq, Eq)]
pub struct Product {
    /// How records name it, in the singular.
    pub name: &'static str,
    /// More than one of it.
    pub plural: &'static str,
    /// Whether it comes in [`SIZES`].
    pub sized: bool,
    /// What a customer may ask for.
    pub extras: &'static [Extra],
    /// Price in cents (of the medium one).
    pub cents: usize,
    /// What it is, for the prose.
    pub about: &'static str,
}

use Extra::{Added, LeftOut, Made};

const COFFEE: &[Extra] = &[
    Made("decaf"),
    Made("iced"),
    Added("oat milk"),
    Added("soy milk"),
    Added("vanilla"),
    Added("caramel"),
    Added("cinnamon"),
    LeftOut("foam"),
    LeftOut("sugar"),
];
const TEA: &[Extra] = &[
    Made("iced"),
    Added("lemon"),
    Added("honey"),
    LeftOut("sugar"),
];
const COLD: &[Extra] = &[Added("mint"), Added("ginger"), LeftOut("ice")];
const CHOCOLATE: &[Extra] = &[Made("extra hot"), Added("cream"), Added("oat milk")];
const PASTRY: &[Extra] = &[Made("warmed"), Added("butter"), Added("jam")];
const CAKE: &[Extra] = &[Added("cream"), Added("vanilla"), LeftOut("nuts")];
const BREAD: &[Extra] = &[Made("sliced"), Added("seeds")];
const BAGEL: &[Extra] = &[
    Made("toasted"),
    Added("butter"),
    Added("honey"),
    LeftOut("salt"),
];
const SANDWICH: &[Extra] = &[
    Made("toasted"),
    Added("pickles"),
    Added("mustard"),
    LeftOut("onion"),
    LeftOut("tomato"),
];

const fn product(
    name: &'static str,
    plural: &'static str,
    sized: bool,
    extras: &'static [Extra],
    cents: usize,
    about: &'static str,
) -> Product {
    Product {
        name,
        plural,
        sized,
        extras,
        cents,
        about,
    }
}

/// Everything on the menu.
pub const PRODUCTS: &[Product] = &[
    product(
        "latte",
        "lattes",
        true,
        COFFEE,
        380,
        "a mild coffee with much milk",
    ),
    product(
        "cappuccino",
        "cappuccinos",
        true,
        COFFEE,
        360,
        "a coffee under a thick cap of foam",
    ),
    product(
        "americano",
        "americanos",
        true,
        COFFEE,
        300,
        "a long black coffee",
    ),
    product(
        "espresso",
        "espressos",
        false,
        &[Made("decaf"), Added("cinnamon"), LeftOut("sugar")],
        240,
        "a short black coffee",
    ),
    product(
        "green tea",
        "green teas",
        true,
        TEA,
        280,
        "a light tea from young leaves",
    ),
    product(
        "mint tea",
        "mint teas",
        true,
        TEA,
        290,
        "a tea of fresh leaves from the garden",
    ),
    product(
        "hot chocolate",
        "hot chocolates",
        true,
        CHOCOLATE,
        390,
        "a thick drink for cold days",
    ),
    product(
        "lemonade",
        "lemonades",
        true,
        COLD,
        320,
        "pressed lemons, water and a little sugar",
    ),
    product(
        "croissant",
        "croissants",
        false,
        PASTRY,
        250,
        "folded dough with a lot of butter",
    ),
    product(
        "cinnamon roll",
        "cinnamon rolls",
        false,
        PASTRY,
        310,
        "a sweet roll, still sticky",
    ),
    product(
        "blueberry muffin",
        "blueberry muffins",
        false,
        PASTRY,
        300,
        "a soft muffin full of berries",
    ),
    product(
        "scone",
        "scones",
        false,
        PASTRY,
        260,
        "a small round cake for the afternoon",
    ),
    product(
        "bagel",
        "bagels",
        false,
        BAGEL,
        270,
        "a chewy ring, boiled and then baked",
    ),
    product(
        "brownie",
        "brownies",
        false,
        CAKE,
        330,
        "a dark square of chocolate",
    ),
    product(
        "apple tart",
        "apple tarts",
        false,
        CAKE,
        440,
        "thin slices on a crisp bottom",
    ),
    product(
        "rye loaf",
        "rye loaves",
        false,
        BREAD,
        520,
        "a dark bread that keeps for a week",
    ),
    product(
        "sourdough loaf",
        "sourdough loaves",
        false,
        BREAD,
        560,
        "a sour bread with a thick crust",
    ),
    product(
        "cheese sandwich",
        "cheese sandwiches",
        false,
        SANDWICH,
        580,
        "two slices of rye and old cheese",
    ),
    product(
        "ham sandwich",
        "ham sandwiches",
        false,
        SANDWICH,
        620,
        "smoked ham on white bread",
    ),
    product(
        "tomato soup",
        "tomato soups",
        true,
        &[Made("extra hot"), Added("cream"), LeftOut("basil")],
        540,
        "a red soup from ripe tomatoes",
    ),
];

/// The people of the town.
pub const NAMES: &[&str] = &[
    "Ada", "Amir", "Anna", "Aisha", "Ben", "Boris", "Carla", "Chen", "Clara", "Dario", "Elena",
    "Emma", "Erik", "Felix", "Fiona", "Greta", "Hana", "Hugo", "Ida", "Ivan", "Jana", "Jonas",
    "Kai", "Lars", "Leila", "Leo", "Lina", "Marco", "Mei", "Mira", "Nadia", "Nils", "Nora", "Omar",
    "Oscar", "Paula", "Petra", "Priya", "Rosa", "Sami", "Sofia", "Sven", "Tara", "Theo", "Vera",
    "Yara", "Yuki", "Zoe",
];

/// What the people of the town do all day.
pub const TRADES: &[&str] = &[
    "teacher", "nurse", "baker", "painter", "driver", "farmer", "singer", "builder", "writer",
    "doctor", "gardener",
];

/// What guests leave behind.
pub const LOST: &[&str] = &[
    "scarf", "umbrella", "book", "hat", "phone", "key", "bag", "glove", "ring", "watch", "coat",
    "pen",
];

/// Days the shop is open.
pub const DAYS: [&str; 6] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// Number words; the index is the number.
pub const NUMBERS: [&str; 13] = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve",
];

/// `name` with "a" or "an" before it.
pub fn with_article(name: &str) -> String {
    let article = if name.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {name}")
}

/// Cents as people write them: `3.80`.
pub fn money(cents: usize) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}
