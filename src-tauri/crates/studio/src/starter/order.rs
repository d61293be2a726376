//! An order, and the one way it is written as JSON.

use serde::Serialize;

use super::clock::Clock;
use super::draw::Draw;
use super::world::{Extra, NAMES, PRODUCTS, Product, SIZES};

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How many, at least one.
    pub count: usize,
    /// Of what.
    pub product: &'static Product,
    /// In which size, where one was named.
    pub size: Option<&'static str>,
    /// What was asked for beyond that: how it is made, then what is added, then what is left out.
    pub extras: Vec<Extra>,
}

/// What a customer wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// At least one line; no product twice, so there is only one way to count.
    pub lines: Vec<Line>,
    /// Who collects it, where a name was given.
    pub name: Option<&'static str>,
    /// When, where a time was given.
    pub pickup: Option<Clock>,
}

impl Line {
    /// A line about `product`.
    pub fn draw(product: &'static Product, draw: &mut Draw) -> Self {
        let count = draw.weigh(&[(45, 1), (25, 2), (12, 3), (8, 4), (4, 5), (4, 6), (2, 12)]);
        let size = (product.sized && draw.chance(75)).then(|| draw.pick(&SIZES));
        let wanted = draw.weigh(&[(55, 0), (34, 1), (11, 2)]);
        let mut extras = draw.several(product.extras, wanted);
        // Nobody asks for two ways of making it, or for two things to be left out.
        if extras.len() == 2 && rank(extras[0]) == rank(extras[1]) && rank(extras[0]) != 1 {
            extras.pop();
        }
        extras.sort_by_key(|extra| rank(*extra));
        Self {
            count,
            product,
            size,
            extras,
        }
    }

    /// The product in the singular or plural, as the count asks.
    pub fn noun(&self) -> &'static str {
        if self.count == 1 {
            self.product.name
        } else {
            self.product.plural
        }
    }
}

/// The place of an extra in a line.
fn rank(extra: Extra) -> u8 {
    match extra {
        Extra::Made(_) => 0,
        Extra::Added(_) => 1,
        Extra::LeftOut(_) => 2,
    }
}

impl Order {
    /// Any order.
    pub fn draw(draw: &mut Draw) -> Self {
        let count = draw.weigh(&[(38, 1), (40, 2), (22, 3)]);
        let every: Vec<&'static Product> = PRODUCTS.iter().collect();
        let products = draw.several(&every, count);
        let lines = products
            .into_iter()
            .map(|product| Line::draw(product, draw))
            .collect();
        let name = draw.chance(78).then(|| draw.pick(NAMES));
        let pickup = draw.chance(65).then(|| Clock::draw(draw));
        Self {
            lines,
            name,
            pickup,
        }
    }

    /// The answer the task asks for: compact JSON, keys in a fixed order, what was not said left
    /// out. An order has exactly one such text, so an answer can be checked by comparing bytes.
    pub fn json(&self) -> String {
        let record = OrderRecord {
            items: self.lines.iter().map(LineRecord::from).collect(),
            name: self.name,
            pickup: self.pickup.map(Clock::written),
        };
        serde_json::to_string(&record).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct OrderRecord {
    items: Vec<LineRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pickup: Option<String>,
}

#[derive(Serialize)]
struct LineRecord {
    count: usize,
    item: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    extras: Vec<String>,
}

impl From<&Line> for LineRecord {
    fn from(line: &Line) -> Self {
        Self {
            count: line.count,
            item: line.product.name,
            size: line.size,
            extras: line.extras.iter().map(|extra| extra.label()).collect(),
        }
    }
}
