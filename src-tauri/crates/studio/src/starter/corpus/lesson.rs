//! Short questions about the world: times, numbers, prices, people, copied lists.

use attune_data::Conversation;

use super::{any_product, exchange};
use crate::starter::clock::Clock;
use crate::starter::draw::Draw;
use crate::starter::world::{NAMES, NUMBERS, PRODUCTS, TRADES, money, with_article};

/// A question about a time, a number, a price, a thing or a person.
pub(super) fn small_question(draw: &mut Draw) -> Conversation {
    let product = any_product(draw);
    let (question, answer) = match draw.below(7) {
        6 => {
            let who = draw.below(NAMES.len());
            let usual = &PRODUCTS[(who * 7) % PRODUCTS.len()];
            let answer = format!(
                "{} is {} and likes {}.",
                NAMES[who],
                with_article(TRADES[who % TRADES.len()]),
                with_article(usual.name)
            );
            (format!("Who is {}?", NAMES[who]), answer)
        }
        0 | 1 => {
            let time = Clock::draw(draw);
            let said = time.spoken(draw);
            (
                draw.pick(&[
                    "What is {t} on the clock?",
                    "Write {t} in digits.",
                    "Time: {t}",
                ])
                .replace("{t}", &said),
                time.written(),
            )
        }
        2 => {
            let number = draw.below(NUMBERS.len());
            (
                format!("Write {} as a digit.", NUMBERS[number]),
                number.to_string(),
            )
        }
        3 => (
            format!("What is one of the {} called?", product.plural),
            product.name.to_owned(),
        ),
        4 => (
            format!("How much is {}?", with_article(product.name)),
            money(product.cents),
        ),
        _ => (
            format!("What is {}?", with_article(product.name)),
            format!("It is {}.", product.about),
        ),
    };
    exchange(&question, &answer)
}

/// A list and its copy: names, things, numbers and times, in any order.
pub(super) fn copied_list(draw: &mut Draw) -> Conversation {
    let words: Vec<String> = (0..draw.between(2, 8))
        .map(|_| match draw.below(5) {
            0 | 1 => draw.pick(NAMES).to_owned(),
            2 => any_product(draw).name.to_owned(),
            3 => draw.between(1, 12).to_string(),
            _ => Clock::draw(draw).written(),
        })
        .collect();
    let spaced = words.join(", ");
    let copy = match draw.below(3) {
        0 => spaced.clone(),
        1 => words.join("\n"),
        _ => format!("[\"{}\"]", words.join("\",\"")),
    };
    let ask = match copy.chars().next() {
        Some('[') => "Copy this list in brackets:",
        _ if copy.contains('\n') => "Copy this list, one a line:",
        _ => "Copy this list:",
    };
    exchange(&format!("{ask} {spaced}"), &copy)
}
