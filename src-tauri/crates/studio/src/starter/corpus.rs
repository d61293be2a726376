//! The text the starter model grows up with: the shop's prose, menus, notes and records, and short
//! exchanges about them. An order as JSON, the task of the sample dataset, is never shown.

mod lesson;
mod prose;

use std::collections::HashSet;

use attune_data::{Conversation, Role, Turn};

use super::clock::Clock;
use super::dataset::{SEED, SampleDataset};
use super::draw::Draw;
use super::notation::{NOTATIONS, Notation};
use super::order::{Line, Order};
use super::phrasing::{self, say_line};
use super::record;
use super::world::{PRODUCTS, Product};

/// Documents without end; take as many as are needed.
pub struct Corpus {
    draw: Draw,
    sample_dataset: HashSet<String>,
}

/// How a document of a kind is made.
type Kind = fn(&mut Corpus) -> Conversation;

/// The kinds of documents and their shares.
const MIX: &[(usize, Kind)] = &[
    (58, Corpus::order_exchange),
    (6, Corpus::line_exchange),
    (5, Corpus::read_back),
    (6, Corpus::question_about_an_order),
    (14, Corpus::record_exchange),
    (3, |corpus| lesson::copied_list(&mut corpus.draw)),
    (4, |corpus| lesson::small_question(&mut corpus.draw)),
    (2, |corpus| prose::story(&mut corpus.draw)),
    (2, |corpus| prose::menu(&mut corpus.draw)),
];

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
        self.draw.weigh(MIX)(self)
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
        let product = any_product(&mut self.draw);
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

    /// One fact of an order.
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
}

fn any_product(draw: &mut Draw) -> &'static Product {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datasets::hex;
    use sha2::{Digest, Sha256};

    /// As many as the bundled model was trained on.
    const DOCUMENTS: usize = 120_000;

    #[test]
    fn the_corpus_is_the_one_the_bundled_model_was_trained_on() {
        let mut hash = Sha256::new();
        for turn in Corpus::new()
            .take(2_000)
            .flat_map(|document| document.turns)
        {
            hash.update(turn.content.as_bytes());
            hash.update(b"\n");
        }
        assert_eq!(
            hex(&hash.finalize()),
            "1acd826a1d678a9bc62845e88029736e853cc2f954053436c55a96315aad3107"
        );
    }

    /// What is measured must not have been read before: no order of the sample dataset, tuned on
    /// or held out, stands in the corpus, alone or beside a request.
    #[test]
    fn the_corpus_holds_no_row_of_the_sample_dataset() {
        let SampleDataset { train, held_out } = SampleDataset::generate();
        let rows: HashSet<String> = (train.into_iter().chain(held_out))
            .map(|row| row.instruction)
            .collect();
        for turn in Corpus::new()
            .take(DOCUMENTS)
            .flat_map(|document| document.turns)
        {
            let text = turn.content.as_str();
            let without_first_line = text.split_once('\n').map_or("", |(_, rest)| rest);
            let without_last_line = text.rsplit_once('\n').map_or("", |(rest, _)| rest);
            for part in [text, without_first_line, without_last_line] {
                assert!(!rows.contains(part), "{text}");
            }
        }
    }

    /// The untuned model is honest only if nothing showed it the task: no order is ever answered
    /// in JSON, and no JSON has the shape of the task's answers.
    #[test]
    fn the_corpus_holds_no_order_as_json() {
        for document in Corpus::new().take(DOCUMENTS) {
            for turn in &document.turns {
                assert!(
                    !turn.content.contains("{\"items\":[{\"count\""),
                    "{}",
                    turn.content
                );
            }
        }
    }
}
