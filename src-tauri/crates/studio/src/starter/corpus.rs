//! The text the starter model grows up with: the shop's prose, menus, notes and records, and short
//! exchanges about them. An order as JSON, the task of the sample dataset, is never shown.

use std::collections::HashSet;

use attune_data::{Conversation, Role, Turn};

use super::clock::Clock;
use super::dataset::{SEED, SampleDataset};
use super::draw::Draw;
use super::notation::{NOTATIONS, Notation};
use super::order::{Line, Order};
use super::phrasing::{self, say_line};
use super::record;
use super::world::{
    DAYS, NAMES, NUMBERS, PRODUCTS, Product, SHOP, SIZES, TRADES, money, with_article,
};

/// Documents without end; take as many as are needed.
pub struct Corpus {
    draw: Draw,
    sample_dataset: HashSet<String>,
}

impl Default for Corpus {
    fn default() -> Self {
        Self::new()
    }
}

impl Iterator for Corpus {
    type Item = Conversation;

    fn next(&mut self) -> Option<Conversation> {
        Some(self.document())
    }
}

impl Corpus {
    /// The corpus of [`SEED`].
    pub fn new() -> Self {
        let SampleDataset { train, held_out } = SampleDataset::generate();
        let sample_dataset = train
            .into_iter()
            .chain(held_out)
            .map(|row| row.instruction)
            .collect();
        Self {
            draw: Draw::new(SEED, 1),
            sample_dataset,
        }
    }

    fn document(&mut self) -> Conversation {
        match self.draw.weigh(&[
            (58, 0),
            (6, 1),
            (5, 2),
            (6, 3),
            (14, 4),
            (3, 5),
            (4, 6),
            (2, 7),
            (2, 8),
        ]) {
            0 => self.order_exchange(),
            1 => self.line_exchange(),
            2 => self.read_back(),
            3 => self.question_about_an_order(),
            4 => self.record_exchange(),
            5 => self.copied_list(),
            6 => self.small_question(),
            7 => self.story(),
            _ => self.menu(),
        }
    }

    /// An order and its words; never one of the sample dataset.
    fn order(&mut self) -> (Order, String) {
        loop {
            let order = Order::draw(&mut self.draw);
            let said = phrasing::say(&order, &mut self.draw);
            if !self.sample_dataset.contains(&said) {
                return (order, said);
            }
        }
    }

    /// "Kitchen ticket, please." and the ticket.
    fn order_exchange(&mut self) -> Conversation {
        let (order, said) = self.order();
        let Notation { asks, write } = self.draw.pick(NOTATIONS);
        let ask = self.draw.pick(asks);
        let question = if self.draw.chance(70) || ask.ends_with(':') {
            format!("{ask}\n{said}")
        } else {
            format!("{said}\n{ask}")
        };
        exchange(&question, &write(&order))
    }

    /// The same for a single product.
    fn line_exchange(&mut self) -> Conversation {
        let product = product(&mut self.draw);
        let line = Line::draw(product, &mut self.draw);
        let said = say_line(&line, &mut self.draw);
        let order = Order {
            lines: vec![line],
            name: None,
            pickup: None,
        };
        let Notation { asks, write } = self.draw.pick(NOTATIONS);
        exchange(&format!("{}\n{said}", self.draw.pick(asks)), &write(&order))
    }

    /// A list and its copy: names, things, numbers and times, in any order.
    fn copied_list(&mut self) -> Conversation {
        let draw = &mut self.draw;
        let words: Vec<String> = (0..draw.between(2, 8))
            .map(|_| match draw.below(5) {
                0 | 1 => draw.pick(NAMES).to_owned(),
                2 => product(draw).name.to_owned(),
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

    /// An order alone is answered the way people answer.
    fn read_back(&mut self) -> Conversation {
        let (order, said) = self.order();
        let lines: Vec<String> = order
            .lines
            .iter()
            .map(|line| say_line(line, &mut self.draw))
            .collect();
        let opening = self
            .draw
            .pick(&["So that is", "Gladly:", "Of course,", "Let me repeat:"]);
        let mut reply = format!("{opening} {}", lines.join(", and "));
        reply.extend(order.name.map(|name| format!(", for {name}")));
        reply.extend(order.pickup.map(|time| format!(", at {}", time.written())));
        exchange(&said, &(reply + "."))
    }

    fn question_about_an_order(&mut self) -> Conversation {
        let (order, said) = self.order();
        let line = &order.lines[self.draw.below(order.lines.len())];
        let (question, answer) = match self.draw.below(6) {
            0 => (
                format!("How many {}?", line.product.plural),
                line.count.to_string(),
            ),
            1 => (
                "Who is it for?".to_owned(),
                order.name.unwrap_or("Nobody said.").to_owned(),
            ),
            2 => (
                "When will they come?".to_owned(),
                order
                    .pickup
                    .map_or_else(|| "Nobody said.".to_owned(), Clock::written),
            ),
            3 => (
                format!("What size is the {}?", line.product.name),
                line.size.unwrap_or("No size.").to_owned(),
            ),
            4 => {
                let labels: Vec<String> = line.extras.iter().map(|extra| extra.label()).collect();
                let answer = if labels.is_empty() {
                    "Nothing.".to_owned()
                } else {
                    labels.join(", ")
                };
                (
                    format!("What is special about the {}?", line.product.name),
                    answer,
                )
            }
            _ => {
                let names: Vec<&str> = order.lines.iter().map(|line| line.product.name).collect();
                ("Which products?".to_owned(), names.join(", "))
            }
        };
        exchange(&format!("{said}\n{question}"), &answer)
    }

    /// Records of other things, as JSON.
    fn record_exchange(&mut self) -> Conversation {
        let draw = &mut self.draw;
        let (note, record) = record::draw(draw);
        let ask = draw.pick(&[
            "Write this note as JSON.",
            "JSON record:",
            "As a JSON record, please.",
        ]);
        exchange(&format!("{ask}\n{note}"), &record)
    }

    fn small_question(&mut self) -> Conversation {
        let draw = &mut self.draw;
        let product = product(draw);
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

    /// A few sentences about a day in the shop.
    fn story(&mut self) -> Conversation {
        let draw = &mut self.draw;
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
            let product = product(draw);
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

    fn menu(&mut self) -> Conversation {
        let draw = &mut self.draw;
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
}

fn product(draw: &mut Draw) -> &'static Product {
    &PRODUCTS[draw.below(PRODUCTS.len())]
}

fn exchange(question: &str, answer: &str) -> Conversation {
    Conversation {
        turns: vec![
            Turn::new(Role::User, question),
            Turn::new(Role::Assistant, answer),
        ],
    }
}

fn prose(text: String) -> Conversation {
    Conversation {
        turns: vec![Turn::new(Role::Text, text)],
    }
}
