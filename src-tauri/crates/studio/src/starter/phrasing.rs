//! How people say an order: at the counter, in a message, as a list; with second thoughts.

mod line;
mod slip;

use super::draw::Draw;
use super::order::Order;
use slip::Slip;

pub use line::{say_line, say_number};

/// An order in plain English. The order can be read back from the words alone.
pub fn say(order: &Order, draw: &mut Draw) -> String {
    let spoken = Spoken::new(order, draw);
    match draw.weigh(&[(62, 0), (24, 1), (14, 2)]) {
        0 => spoken.at_the_counter(draw),
        1 => spoken.in_a_message(draw),
        _ => spoken.as_a_list(draw),
    }
}

/// The parts of what is said, second thoughts included.
struct Spoken {
    items: Vec<String>,
    name: Option<&'static str>,
    pickup: Option<String>,
    afterthought: Option<String>,
}

impl Spoken {
    fn new(order: &Order, draw: &mut Draw) -> Self {
        let slip = Slip::draw(draw);
        let lines = order.lines.iter();
        let mut items: Vec<String> = lines.map(|line| say_line(line, draw)).collect();
        let pickup = order.pickup.map(|time| time.spoken(draw));
        let afterthought = slip.make(order, &mut items, draw);
        Self {
            items,
            name: order.name,
            pickup,
            afterthought,
        }
    }

    /// "Hi, could I get two lattes and a scone? It's for Mira, at half past nine. Thanks."
    fn at_the_counter(&self, draw: &mut Draw) -> String {
        let mut said = Vec::new();
        if draw.chance(55) {
            said.push(
                draw.pick(&[
                    "Hi there.",
                    "Hello!",
                    "Good morning.",
                    "Hi!",
                    "Good day.",
                    "Hey.",
                    "Morning!",
                ])
                .to_owned(),
            );
        }
        let mut name = self.name;
        if let Some(who) = name
            && draw.chance(25)
        {
            said.push(
                draw.pick(&["This is {}.", "{} here.", "My name is {}.", "It's {}."])
                    .replace("{}", who),
            );
            name = None;
        }
        if draw.chance(20) {
            said.push(draw.pick(SMALL_TALK).to_owned());
        }
        let items = join(&self.items, draw);
        said.push(capitalised(&draw.pick(REQUESTS).replace("{}", &items)));
        said.extend(self.afterthought.clone());
        said.extend(self.for_whom_and_when(name, draw));
        // Nothing follows a signature.
        if draw.chance(40) && said.last().is_some_and(|last| last.ends_with(['.', '?'])) {
            said.push(draw.pick(THANKS).to_owned());
        }
        said.join(" ")
    }

    /// "2 large lattes w/ oat milk, 1 scone. Mira, 9:30"
    fn in_a_message(&self, draw: &mut Draw) -> String {
        let mut said = self.items.join(", ").replace(" with ", " w/ ");
        said.push('.');
        if let Some(afterthought) = &self.afterthought {
            said.push(' ');
            said.push_str(afterthought);
        }
        let end = match (self.name, &self.pickup) {
            (Some(name), Some(time)) => draw
                .pick(&[
                    " {n}, {t}",
                    " For {n} at {t}.",
                    " Pick-up {t}, {n}.",
                    " At {t}. {n}",
                ])
                .replace("{n}", name)
                .replace("{t}", time),
            (Some(name), None) => draw
                .pick(&[" {n}", " For {n}.", " Thx, {n}"])
                .replace("{n}", name),
            (None, Some(time)) => draw
                .pick(&[" At {t}.", " Pick-up {t}.", " For {t}."])
                .replace("{t}", time),
            (None, None) => draw.pick(&["", " Thx", " Thanks!"]).to_owned(),
        };
        said.push_str(&end);
        if draw.chance(50) {
            capitalised(&said)
        } else {
            said
        }
    }

    /// One line for each item.
    fn as_a_list(&self, draw: &mut Draw) -> String {
        let mut said = vec![
            draw.pick(&[
                "Order:",
                "We need:",
                "Please prepare:",
                "My order:",
                "Dear team, please pack",
                "Shopping list:",
            ])
            .to_owned(),
        ];
        let bullet = draw.pick(&["- ", "* ", ""]);
        said.extend(self.items.iter().map(|item| format!("{bullet}{item}")));
        said.extend(self.afterthought.clone());
        said.extend(self.for_whom_and_when(self.name, draw));
        said.join("\n")
    }

    fn for_whom_and_when(&self, name: Option<&str>, draw: &mut Draw) -> Option<String> {
        let said = match (name, &self.pickup) {
            (Some(name), Some(time)) => draw.pick(BOTH).replace("{n}", name).replace("{t}", time),
            (Some(name), None) => draw.pick(WHO).replace("{n}", name),
            (None, Some(time)) => draw.pick(WHEN).replace("{t}", time),
            (None, None) => return None,
        };
        Some(said)
    }
}

const SMALL_TALK: &[&str] = &[
    "What a lovely morning.",
    "It is so cold out there.",
    "It smells wonderful in here.",
    "I am in a bit of a hurry.",
    "We are having guests.",
    "My sister told me about this place.",
    "You look busy today.",
    "The rain will not stop.",
    "I hope I am not too late.",
];

const REQUESTS: &[&str] = &[
    "Can I get {}?",
    "Could I have {}, please?",
    "I'd like {}, please.",
    "I'll have {}.",
    "I'll take {}, please.",
    "Please give me {}.",
    "We need {}.",
    "Could you make {} for us?",
    "May I order {}?",
    "Put me down for {}.",
    "I want to order {}.",
    "Can we have {}, please?",
    "Let me have {}.",
    "{}, please.",
];

const THANKS: &[&str] = &[
    "Thanks!",
    "Thank you.",
    "Thanks a lot.",
    "See you soon.",
    "That's all.",
    "Have a nice day.",
    "Cheers.",
];

const BOTH: &[&str] = &[
    "It's for {n}, pick-up at {t}.",
    "{n} will collect it at {t}.",
    "For {n} at {t}.",
    "I'll be there at {t}. The name is {n}.",
    "The name is {n}, and I'll come by at {t}.",
    "Ready by {t}, please. {n}",
    "Name: {n}. Time: {t}.",
    "Could it be ready at {t}? It's for {n}.",
    "Under {n}, for {t}.",
];
const WHO: &[&str] = &[
    "It's for {n}.",
    "The name is {n}.",
    "Under {n}, please.",
    "{n} will collect it.",
    "Name: {n}.",
    "For {n}.",
    "Regards, {n}",
];
const WHEN: &[&str] = &[
    "I'll pick it up at {t}.",
    "Pick-up at {t}.",
    "I'll be there at {t}.",
    "We will collect it at {t}.",
    "Ready by {t}, please.",
    "For {t}, if you can.",
    "I'll come by at {t}.",
];

/// "a, b and c"
fn join(items: &[String], draw: &mut Draw) -> String {
    let and = draw.pick(&[" and ", " and ", ", and ", ", plus ", " and also "]);
    match items.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{}{and}{last}", rest.join(", ")),
        _ => items.concat(),
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}
