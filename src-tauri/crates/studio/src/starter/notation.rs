//! The ways the corpus writes an order down. JSON is not one of them: that is what tuning teaches.

use super::clock::Clock;
use super::order::{Line, Order};
use super::world::Extra;

/// A written form of an order and the ways to ask for it.
#[derive(Clone, Copy)]
pub struct Notation {
    /// Requests a person might make.
    pub asks: &'static [&'static str],
    /// Writes the order.
    pub write: fn(&Order) -> String,
}

/// All of them.
pub const NOTATIONS: &[Notation] = &[
    Notation {
        asks: &[
            "Write the kitchen ticket.",
            "Kitchen ticket, please.",
            "Make a ticket for the kitchen:",
        ],
        write: ticket,
    },
    Notation {
        asks: &[
            "Write it in brackets.",
            "In brackets:",
            "As a bracket list, please.",
        ],
        write: brackets,
    },
    Notation {
        asks: &["As XML:", "Write this order as XML.", "XML, please."],
        write: xml,
    },
    Notation {
        asks: &[
            "As fields:",
            "Fill in the form.",
            "Which fields does this order have?",
        ],
        write: fields,
    },
    Notation {
        asks: &[
            "As calls:",
            "Write it as code.",
            "Which functions does the till call?",
        ],
        write: calls,
    },
];

fn labels(line: &Line) -> Vec<String> {
    line.extras.iter().map(|extra| extra.label()).collect()
}

fn ticket(order: &Order) -> String {
    let mut text = "TICKET".to_owned();
    if let Some(name) = order.name {
        text += &format!(" for {name}");
    }
    if let Some(time) = order.pickup {
        text += &format!(" at {}", time.written());
    }
    for line in &order.lines {
        text += &format!("\n{} x {}", line.count, line.product.name);
        if let Some(size) = line.size {
            text += &format!(" ({size})");
        }
        for extra in &line.extras {
            text += &match extra {
                Extra::Made(what) => format!(" * {what}"),
                Extra::Added(what) => format!(" + {what}"),
                Extra::LeftOut(what) => format!(" - {what}"),
            };
        }
    }
    text
}

fn brackets(order: &Order) -> String {
    let mut text = "[order".to_owned();
    for line in &order.lines {
        text += &format!(" [{} {}", line.count, line.product.name);
        text.extend(line.size.map(|size| format!(" [{size}]")));
        if !line.extras.is_empty() {
            text += &format!(" [with {}]", labels(line).join(", "));
        }
        text.push(']');
    }
    text.extend(order.name.map(|name| format!(" [who {name}]")));
    text.extend(
        order
            .pickup
            .map(|time| format!(" [when {}]", time.written())),
    );
    text + "]"
}

fn xml(order: &Order) -> String {
    let mut text = "<order".to_owned();
    text.extend(order.name.map(|name| format!(" who=\"{name}\"")));
    text.extend(
        order
            .pickup
            .map(|time| format!(" when=\"{}\"", time.written())),
    );
    text.push('>');
    for line in &order.lines {
        text += &format!("<p n=\"{}\"", line.count);
        text.extend(line.size.map(|size| format!(" size=\"{size}\"")));
        text += &format!(">{}", line.product.name);
        text.extend(labels(line).iter().map(|label| format!("<x>{label}</x>")));
        text += "</p>";
    }
    text + "</order>"
}

fn fields(order: &Order) -> String {
    let time = order
        .pickup
        .map_or_else(|| "none".to_owned(), Clock::written);
    let mut text = format!("customer = {}\ntime = {time}", order.name.unwrap_or("none"));
    for (index, line) in order.lines.iter().enumerate() {
        let place = index + 1;
        text += &format!(
            "\nproduct {place} = {}\nnumber {place} = {}",
            line.product.name, line.count
        );
        text.extend(line.size.map(|size| format!("\nsize {place} = {size}")));
        if !line.extras.is_empty() {
            text += &format!("\nwishes {place} = {}", labels(line).join(", "));
        }
    }
    text
}

fn calls(order: &Order) -> String {
    let mut text = String::new();
    for line in &order.lines {
        let mut arguments = vec![line.count.to_string(), format!("\"{}\"", line.product.name)];
        arguments.extend(line.size.map(|size| format!("\"{size}\"")));
        if !line.extras.is_empty() {
            let labels: Vec<String> = labels(line)
                .iter()
                .map(|label| format!("\"{label}\""))
                .collect();
            arguments.push(format!("[{}]", labels.join(",")));
        }
        text += &format!("add({}); ", arguments.join(", "));
    }
    text.extend(order.name.map(|name| format!("call(\"{name}\"); ")));
    text.extend(
        order
            .pickup
            .map(|time| format!("ready(\"{}\"); ", time.written())),
    );
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::starter::clock::Clock;
    use crate::starter::world::PRODUCTS;

    /// The model learns from these what an order consists of; each says all of it.
    #[test]
    fn every_notation_says_the_whole_order() {
        let line = Line {
            count: 3,
            product: &PRODUCTS[0],
            size: Some("large"),
            extras: vec![
                Extra::Made("iced"),
                Extra::Added("oat milk"),
                Extra::LeftOut("sugar"),
            ],
        };
        let order = Order {
            lines: vec![line],
            name: Some("Mira"),
            pickup: Some(Clock::CLOSING),
        };
        for Notation { write, .. } in NOTATIONS {
            let written = write(&order);
            for part in [
                "3", "latte", "large", "iced", "oat milk", "sugar", "Mira", "18:00",
            ] {
                assert!(written.contains(part), "{part} in {written}");
            }
        }
    }
}
