//! Text outside any chat: stories of a day in the shop, and its menus.

use attune_data::Conversation;

use super::{any_product, prose};
use crate::starter::clock::Clock;
use crate::starter::draw::Draw;
use crate::starter::order::Line;
use crate::starter::phrasing::say_line;
use crate::starter::world::{DAYS, NAMES, PRODUCTS, Product, SHOP, SIZES, money, with_article};

/// A few sentences about a day in the shop.
pub(super) fn story(draw: &mut Draw) -> Conversation {
    let (day, keeper) = (draw.pick(&DAYS), draw.pick(NAMES));
    let mut text = draw
        .pick(&[
            "On {d} {n} opened {s}.",
            "It was a quiet {d} at {s}, and {n} stood behind the counter.",
            "{n} was alone at {s} on {d}.",
        ])
        .replace("{d}", day)
        .replace("{n}", keeper)
        .replace("{s}", SHOP);
    for _ in 0..draw.between(2, 5) {
        let guest = draw.pick(NAMES);
        let product = any_product(draw);
        let line = say_line(&Line::draw(product, draw), draw);
        let time = Clock::draw(draw).spoken(draw);
        let sentence = draw.pick(&[
            "At {t} {g} came in and asked for {l}.",
            "{g} wanted {l}, as always.",
            "Then {g} ordered {l} and sat down by the window.",
            "\"I would like {l}\", said {g}.",
            "{g} had called before: {l}, to be ready at {t}.",
            "{g} likes {u}: {a}.",
        ]);
        text.push(' ');
        text += &sentence
            .replace("{t}", &time)
            .replace("{g}", guest)
            .replace("{l}", &line)
            .replace("{u}", &with_article(product.name))
            .replace("{a}", product.about);
    }
    text.push(' ');
    text += &draw
        .pick(&[
            "Nothing was left in the evening.",
            "{n} locked the door and went home.",
            "The oven was still warm.",
        ])
        .replace("{n}", keeper);
    prose(text)
}

/// What there is on a day, and for how much.
pub(super) fn menu(draw: &mut Draw) -> Conversation {
    let every: Vec<&Product> = PRODUCTS.iter().collect();
    let wanted = draw.between(3, 7);
    let mut text = format!("MENU for {}", draw.pick(&DAYS));
    for product in draw.several(&every, wanted) {
        text += &format!("\n{} {}", product.name, money(product.cents));
        if product.sized && draw.chance(50) {
            text += &format!(" ({})", SIZES.join(", "));
        }
    }
    prose(text)
}
