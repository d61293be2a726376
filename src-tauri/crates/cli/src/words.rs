//! Numbers, sizes and durations as a person reads them.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Narrow, and never the end of a line: groups digits and separates a number from its unit.
pub(crate) const THIN: char = '\u{202f}';

/// `7 473`.
pub(crate) fn count(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().unwrap_or(u64::MAX).to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(THIN);
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 row`, `7 473 rows`.
pub(crate) fn many(number: impl TryInto<u64>, thing: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", count(number))
}

/// `9.2 GB`: decimal units, as disks and models are sold.
pub(crate) fn bytes(bytes: u64) -> String {
    scaled(bytes as f64, &["B", "kB", "MB", "GB", "TB"])
}

/// `1.2 B`, as models are named: `135 M`.
pub(crate) fn parameters(parameters: u64) -> String {
    scaled(parameters as f64, &["", "k", "M", "B", "T"])
        .trim_end()
        .to_owned()
}

fn scaled(mut value: f64, units: &[&str]) -> String {
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 99.95);
    let separator = if units[unit].is_empty() {
        String::new()
    } else {
        THIN.to_string()
    };
    format!("{value:.digits$}{separator}{}", units[unit])
}

/// `134 tok/s`.
pub(crate) fn rate(tokens_per_second: f64) -> String {
    format!("{}{THIN}tok/s", count(tokens_per_second.round() as u64))
}

/// `2.310`; a loss or a perplexity.
pub(crate) fn measure(value: f64) -> String {
    if value.is_finite() && value.abs() >= 1000.0 {
        count(value.round() as u64)
    } else {
        format!("{value:.3}")
    }
}

/// `96 %`, with a decimal where it says more.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let digits = usize::from((percent - percent.round()).abs() > 0.05);
    format!("{percent:.digits$}{THIN}%")
}

/// `0.4 s`, `12 s`, `3 min 12 s`, `2 h 5 min`.
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        _ if seconds < 9.95 => format!("{seconds:.1}{THIN}s"),
        0..60 => format!("{whole}{THIN}s"),
        60..3600 => format!("{}{THIN}min {}{THIN}s", whole / 60, whole % 60),
        _ => format!("{}{THIN}h {}{THIN}min", whole / 3600, whole % 3600 / 60),
    }
}

/// `about 4 min left`: no more exact than an estimate can be.
pub(crate) fn time_left(seconds: f64) -> String {
    match seconds.ceil() as u64 {
        0..5 => "a few seconds left".to_owned(),
        seconds @ 5..60 => format!("about {}{THIN}s left", seconds.div_ceil(5) * 5),
        seconds @ 60..5400 => format!("about {}{THIN}min left", seconds.div_ceil(60)),
        seconds => format!("about {:.1}{THIN}h left", seconds as f64 / 3600.0),
    }
}

/// `just now`, `5 min ago`, `3 d ago`.
pub(crate) fn ago(time: i64) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs();
    match now.saturating_sub(time.max(0) as u64) {
        0..60 => "just now".to_owned(),
        seconds @ 60..3600 => format!("{}{THIN}min ago", seconds / 60),
        seconds @ 3600..86_400 => format!("{}{THIN}h ago", seconds / 3600),
        seconds => format!("{}{THIN}d ago", seconds / 86_400),
    }
}

/// The beginning of a text on one line, at most `width` characters.
pub(crate) fn shortened(text: &str, width: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= width {
        return line;
    }
    let kept: String = line.chars().take(width.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// The text with control characters made visible: what a model says, or what stands in a dataset,
/// must not move the cursor or give the terminal orders.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    const PICTURES: u32 = 0x2400;
    let orders = |letter: char| letter.is_control() && !matches!(letter, '\n' | '\t');
    if !text.contains(orders) {
        return Cow::Borrowed(text);
    }
    let shown = |letter: char| match letter {
        letter if !orders(letter) => letter,
        '\0'..='\x1f' => {
            char::from_u32(PICTURES + letter as u32).unwrap_or(char::REPLACEMENT_CHARACTER)
        }
        _ => char::REPLACEMENT_CHARACTER,
    };
    Cow::Owned(text.chars().map(shown).collect())
}

/// The text with every line moved in.
pub(crate) fn indented(text: &str, by: usize) -> String {
    let space = " ".repeat(by);
    text.lines()
        .map(|line| format!("{space}{line}").trim_end().to_owned() + "\n")
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tests read easier with plain spaces.
    fn plain(text: &str) -> String {
        text.replace(THIN, " ")
    }

    #[test]
    fn digits_are_grouped() {
        let grouped = [0, 999, 1204, 7_473_000_u64].map(|number| plain(&count(number)));
        assert_eq!(grouped, ["0", "999", "1 204", "7 473 000"]);
        assert_eq!(many(1_u64, "row"), "1 row");
        assert_eq!(many(2_u64, "row"), "2 rows");
    }

    #[test]
    fn sizes_have_the_unit_that_keeps_them_short() {
        let sizes = [0, 999, 1500, 9_240_000_000, 999_999].map(|size| plain(&bytes(size)));
        assert_eq!(sizes, ["0 B", "999 B", "1.5 kB", "9.2 GB", "1.0 MB"]);
        assert_eq!(
            [parameters(950), parameters(134_515_008)].map(|text| plain(&text)),
            ["950", "135 M"]
        );
    }

    #[test]
    fn durations_are_as_exact_as_they_matter() {
        let durations = [0.42, 12.3, 192.0, 7500.0].map(|seconds| plain(&duration(seconds)));
        assert_eq!(durations, ["0.4 s", "12 s", "3 min 12 s", "2 h 5 min"]);
        let left = [2.0, 11.0, 59.5, 221.0, 9000.0].map(|seconds| plain(&time_left(seconds)));
        assert_eq!(
            left,
            [
                "a few seconds left",
                "about 15 s left",
                "about 1 min left",
                "about 4 min left",
                "about 2.5 h left"
            ]
        );
    }

    #[test]
    fn shares_show_a_decimal_only_where_there_is_one() {
        assert_eq!(
            [percent(0.96), percent(0.0317), percent(1.0)].map(|text| plain(&text)),
            ["96 %", "3.2 %", "100 %"]
        );
    }

    /// Escape sequences could clear the screen, or forge what stands on it.
    #[test]
    fn no_text_gives_the_terminal_orders() {
        assert_eq!(printable("a\tb\nc"), "a\tb\nc");
        assert_eq!(printable("\x1b[2Jhi\r\u{9b}1m"), "␛[2Jhi␍\u{fffd}1m");
    }

    #[test]
    fn long_texts_are_cut_to_one_line() {
        assert_eq!(shortened("two\n teas  please", 40), "two teas please");
        assert_eq!(shortened("two teas please", 9), "two teas…");
    }
}
