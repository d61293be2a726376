//! Second thoughts: something said wrong first and put right after.

use super::line::{say_line, say_number};
use crate::starter::draw::Draw;
use crate::starter::order::{Line, Order};
use crate::starter::world::{PRODUCTS, SIZES};

/// What a customer gets wrong, if anything.
#[derive(Debug, Clone, Copy)]
pub(super) enum Slip {
    None,
    Count,
    Size,
    Product,
    Cancelled,
    Added,
}

impl Slip {
    pub(super) fn draw(draw: &mut Draw) -> Self {
        draw.weigh(&[
            (80, Self::None),
            (7, Self::Count),
            (3, Self::Size),
            (3, Self::Product),
            (3, Self::Cancelled),
            (4, Self::Added),
        ])
    }

    /// Makes the slip in `items`, the lines of `order` as said. Returns a sentence to say after
    /// them, if the slip needs one.
    pub(super) fn make(
        self,
        order: &Order,
        items: &mut Vec<String>,
        draw: &mut Draw,
    ) -> Option<String> {
        let which = draw.below(order.lines.len());
        let line = &order.lines[which];
        match self {
            Self::None => None,
            Self::Count => {
                items[which] = wrong_count(line, draw);
                None
            }
            Self::Size => {
                if let Some(size) = line.size {
                    items[which] = wrong_size(line, size, draw);
                }
                None
            }
            Self::Product => {
                let wrong = plain_line(order, draw);
                let put_right = draw.pick(&["no,", "sorry, I mean", "actually", "wait, rather"]);
                items[which] = format!("{}, {put_right} {}", say_line(&wrong, draw), items[which]);
                None
            }
            Self::Cancelled => {
                let wrong = plain_line(order, draw);
                items.insert(draw.below(items.len() + 1), say_line(&wrong, draw));
                let forget = draw.pick(&[
                    "Actually, forget",
                    "On second thought, skip",
                    "Oh, and leave out",
                    "Sorry, cancel",
                ]);
                Some(format!("{forget} the {}.", wrong.noun()))
            }
            Self::Added if items.len() > 1 => items.pop().map(|last| {
                let add = draw.pick(&["Oh, and add", "And also", "One more thing,", "Ah, and"]);
                format!("{add} {last}.")
            }),
            Self::Added => None,
        }
    }
}

/// "three scones, no, make that two"
fn wrong_count(line: &Line, draw: &mut Draw) -> String {
    let count = other(&[1, 2, 3, 4, 5, 6], line.count, draw);
    let wrong = Line {
        count,
        ..line.clone()
    };
    let put_right = draw.pick(&[
        "no, make that",
        "sorry,",
        "wait, make it",
        "actually",
        "I mean",
    ]);
    let said = say_line(&wrong, draw);
    format!("{said}, {put_right} {}", say_number(line.count, draw))
}

/// "a small latte, no, large"
fn wrong_size(line: &Line, size: &'static str, draw: &mut Draw) -> String {
    let wrong = Line {
        size: Some(other(&SIZES, size, draw)),
        ..line.clone()
    };
    let put_right = draw.pick(&["no,", "sorry,", "actually", "I mean"]);
    format!("{}, {put_right} {size}", say_line(&wrong, draw))
}

/// A line without extras about a product the order does not hold.
fn plain_line(order: &Order, draw: &mut Draw) -> Line {
    loop {
        let product = &PRODUCTS[draw.below(PRODUCTS.len())];
        if order.lines.iter().all(|line| line.product != product) {
            let count = draw.weigh(&[(3, 1), (1, 2)]);
            return Line {
                count,
                product,
                size: None,
                extras: Vec::new(),
            };
        }
    }
}

fn other<T: Copy + PartialEq>(choices: &[T], than: T, draw: &mut Draw) -> T {
    loop {
        let choice = draw.pick(choices);
        if choice != than {
            return choice;
        }
    }
}
