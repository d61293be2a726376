//! Notes and their JSON records: stock, shifts, lost property, regulars, the menu, deliveries.
//!
//! They teach the corpus JSON and every word the sample dataset's answers are made of. None of
//! them is an order.

use super::clock::Clock;
use super::draw::Draw;
use super::order::Line;
use super::phrasing::{say_line, say_number};
use super::world::{DAYS, Extra, LOST, NAMES, PRODUCTS, Product, SIZES, money, with_article};

/// A note in plain English and the record of it.
pub fn draw(draw: &mut Draw) -> (String, String) {
    match draw.below(7) {
        0 => stock(draw),
        1 => shift(draw),
        2 => lost_property(draw),
        3 => regular(draw),
        4 => menu(draw),
        5 => choices(draw),
        _ => baked(draw),
    }
}

fn products(draw: &mut Draw, most: usize) -> Vec<&'static Product> {
    let every: Vec<&'static Product> = PRODUCTS.iter().collect();
    let wanted = draw.between(1, most);
    draw.several(&every, wanted)
}

fn quoted<S: AsRef<str>>(words: &[S]) -> String {
    let words: Vec<String> = words
        .iter()
        .map(|word| format!("\"{}\"", word.as_ref()))
        .collect();
    words.join(",")
}

/// "We have two lattes and 3 scones left."
fn stock(draw: &mut Draw) -> (String, String) {
    let day = draw.pick(&DAYS);
    let mut said = Vec::new();
    let mut records = Vec::new();
    for product in products(draw, 4) {
        let count = draw.between(1, 12);
        let noun = if count == 1 {
            product.name
        } else {
            product.plural
        };
        said.push(format!("{} {noun}", say_number(count, draw)));
        records.push(format!("{{\"count\":{count},\"of\":\"{}\"}}", product.name));
    }
    let note = draw.pick(&[
        "Left on {d}: {p}.",
        "{d}: we still have {p}.",
        "I counted {p} on {d}.",
    ]);
    let note = note.replace("{p}", &said.join(" and ")).replace("{d}", day);
    (note, with_day("stock", &records, day, draw))
}

/// "Mira works from eight to noon on Monday."
fn shift(draw: &mut Draw) -> (String, String) {
    let (name, day) = (draw.pick(NAMES), draw.pick(&DAYS));
    let from = Clock::draw(draw);
    let to = from.later(15 * draw.between(4, 20));
    let note = draw.pick(&[
        "{n} works from {f} to {t} on {d}.",
        "On {d} {n} starts at {f} and leaves at {t}.",
        "Shift for {n}: {d}, {f} until {t}.",
    ]);
    let note = note
        .replace("{n}", name)
        .replace("{f}", &from.spoken(draw))
        .replace("{t}", &to.spoken(draw))
        .replace("{d}", day);
    let hours = format!(
        "{{\"day\":\"{day}\",\"from\":\"{}\",\"to\":\"{}\"}}",
        from.written(),
        to.written()
    );
    (note, format!("{{\"shift\":{hours},\"name\":\"{name}\"}}"))
}

/// "We found a scarf. It is Mira's, pickup at nine."
fn lost_property(draw: &mut Draw) -> (String, String) {
    let (name, thing, time) = (draw.pick(NAMES), draw.pick(LOST), Clock::draw(draw));
    let note = draw.pick(&[
        "We found {l}. It belongs to {n}, pickup at {t}.",
        "{n} forgot {l} and will come for it at {t}.",
        "Lost and found: {l}. Pickup at {t} by {n}.",
    ]);
    let note = note
        .replace("{l}", &with_article(thing))
        .replace("{n}", name)
        .replace("{t}", &time.spoken(draw));
    (
        note,
        format!(
            "{{\"found\":\"{thing}\",\"name\":\"{name}\",\"pickup\":\"{}\"}}",
            time.written()
        ),
    )
}

/// "Mira always has a large latte with oat milk."
fn regular(draw: &mut Draw) -> (String, String) {
    let name = draw.pick(NAMES);
    let product = &PRODUCTS[draw.below(PRODUCTS.len())];
    let line = Line {
        count: 1,
        ..Line::draw(product, draw)
    };
    let note = draw.pick(&[
        "{n} always has {l}.",
        "The usual for {n} is {l}.",
        "{n} loves {l}.",
    ]);
    let note = note
        .replace("{n}", name)
        .replace("{l}", &say_line(&line, draw));
    let mut record = format!("{{\"guest\":\"{name}\",\"usual\":\"{}\"", product.name);
    record.extend(line.size.map(|size| format!(",\"cup\":\"{size}\"")));
    if !line.extras.is_empty() {
        let labels: Vec<String> = line.extras.iter().map(|extra| extra.label()).collect();
        record += &format!(",\"wishes\":[{}]", quoted(&labels));
    }
    (note, record + "}")
}

/// "New on the menu: latte for 3.80 (small, large)."
fn menu(draw: &mut Draw) -> (String, String) {
    let day = draw.pick(&DAYS);
    let mut said = Vec::new();
    let mut records = Vec::new();
    for product in products(draw, 3) {
        let (name, price) = (product.name, money(product.cents));
        if product.sized {
            let size = draw.pick(&SIZES);
            said.push(format!("{size} {name} for {price}"));
            records.push(format!(
                "{{\"item\":\"{name}\",\"price\":{price},\"size\":\"{size}\"}}"
            ));
        } else {
            said.push(format!("{name} for {price}"));
            records.push(format!("{{\"item\":\"{name}\",\"price\":{price}}}"));
        }
    }
    (
        format!("On the menu on {day}: {}.", said.join(", ")),
        with_day("items", &records, day, draw),
    )
}

/// "Extras on Monday: honey or lemon for the green tea; jam for the scone."
fn choices(draw: &mut Draw) -> (String, String) {
    let day = draw.pick(&DAYS);
    let mut said = Vec::new();
    let mut records = Vec::new();
    for product in products(draw, 3) {
        let wanted = draw.between(0, 3);
        let labels: Vec<String> = draw
            .several(product.extras, wanted)
            .into_iter()
            .map(Extra::label)
            .collect();
        if labels.is_empty() {
            said.push(format!("nothing for the {}", product.name));
            records.push(format!("{{\"for\":\"{}\"}}", product.name));
        } else {
            said.push(format!("{} for the {}", labels.join(" or "), product.name));
            records.push(format!(
                "{{\"for\":\"{}\",\"extras\":[{}]}}",
                product.name,
                quoted(&labels)
            ));
        }
    }
    (
        format!("Extras on {day}: {}.", said.join("; ")),
        with_day("choices", &records, day, draw),
    )
}

/// A list of records and a day, in either order.
fn with_day(key: &str, records: &[String], day: &str, draw: &mut Draw) -> String {
    let records = records.join(",");
    if draw.chance(60) {
        format!("{{\"{key}\":[{records}],\"day\":\"{day}\"}}")
    } else {
        format!("{{\"day\":\"{day}\",\"{key}\":[{records}]}}")
    }
}

/// "Mira baked scones and bagels on Friday."
fn baked(draw: &mut Draw) -> (String, String) {
    let (name, day) = (draw.pick(NAMES), draw.pick(&DAYS));
    let products = products(draw, 4);
    let plurals: Vec<&str> = products.iter().map(|product| product.plural).collect();
    let names: Vec<&str> = products.iter().map(|product| product.name).collect();
    let note = draw.pick(&[
        "{n} made {p} on {d}.",
        "On {d} the {p} were made by {n}.",
        "{d}, {n}: {p}.",
    ]);
    let note = note
        .replace("{n}", name)
        .replace("{p}", &plurals.join(" and "))
        .replace("{d}", day);
    (
        note,
        format!(
            "{{\"made\":[{}],\"name\":\"{name}\",\"day\":\"{day}\"}}",
            quoted(&names)
        ),
    )
}
