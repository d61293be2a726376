//! How people say one line of an order, and numbers.

use crate::starter::draw::Draw;
use crate::starter::order::Line;
use crate::starter::world::{Extra, NUMBERS, with_article};

/// "two large lattes with oat milk and no foam"
pub fn say_line(line: &Line, draw: &mut Draw) -> String {
    let made = line.extras.iter().find_map(|extra| match extra {
        Extra::Made(how) => Some(*how),
        _ => None,
    });
    let before = draw.chance(70);
    let mut words: Vec<&str> = Vec::new();
    words.extend(line.size.map(|size| say_size(size, draw)));
    words.extend(made.filter(|_| before));
    words.push(line.noun());
    let thing = words.join(" ");
    let mut said = match line.count {
        1 if draw.chance(70) => with_article(&thing),
        count => format!("{} {thing}", say_count(count, draw)),
    };
    if let Some(how) = made.filter(|_| !before) {
        said = format!("{said}, {how}");
    }
    let added: Vec<&str> = line
        .extras
        .iter()
        .filter_map(|extra| match extra {
            Extra::Added(what) => Some(*what),
            _ => None,
        })
        .collect();
    if !added.is_empty() {
        said = format!("{said} with {}", added.join(" and "));
    }
    for extra in &line.extras {
        if let Extra::LeftOut(what) = extra {
            said = draw
                .pick(&[
                    "{l} without {w}",
                    "{l}, no {w}",
                    "{l}, hold the {w}",
                    "{l} but no {w}",
                ])
                .replace("{l}", &said)
                .replace("{w}", what);
        }
    }
    said
}

/// "two", "2", "a couple of"
fn say_count(count: usize, draw: &mut Draw) -> String {
    let rare = match count {
        2 => "a couple of",
        6 => "half a dozen",
        12 => "a dozen",
        _ => "",
    };
    if !rare.is_empty() && draw.chance(10) {
        rare.to_owned()
    } else {
        say_number(count, draw)
    }
}

/// "two", "2"
pub fn say_number(count: usize, draw: &mut Draw) -> String {
    if draw.chance(40) {
        count.to_string()
    } else {
        NUMBERS[count].to_owned()
    }
}

fn say_size(size: &'static str, draw: &mut Draw) -> &'static str {
    let other = match size {
        "small" => "little",
        "medium" => "regular",
        _ => "big",
    };
    if draw.chance(12) { other } else { size }
}
