//! Times of day, as records write them and as people say them.

use super::draw::Draw;
use super::world::NUMBERS;

/// A time between opening (07:00) and closing (18:00), on the quarter hour.
///
/// The shop keeps these hours so that every spoken time means one thing: "three" is 15:00.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Clock {
    minutes: usize,
}

impl Clock {
    /// The first time there is.
    pub const OPENING: Self = Self { minutes: 7 * 60 };
    /// The last time there is.
    pub const CLOSING: Self = Self { minutes: 18 * 60 };

    /// Any time a customer may come.
    pub fn draw(draw: &mut Draw) -> Self {
        let quarters = (Self::CLOSING.minutes - Self::OPENING.minutes) / 15;
        Self {
            minutes: Self::OPENING.minutes + 15 * draw.below(quarters),
        }
    }

    /// Every time there is.
    pub fn all() -> impl Iterator<Item = Self> {
        (Self::OPENING.minutes..=Self::CLOSING.minutes)
            .step_by(15)
            .map(|minutes| Self { minutes })
    }

    /// A time `minutes` later, at most closing time.
    #[must_use]
    pub fn later(self, minutes: usize) -> Self {
        Self {
            minutes: (self.minutes + minutes).min(Self::CLOSING.minutes),
        }
    }

    /// `08:30`.
    pub fn written(self) -> String {
        format!("{:02}:{:02}", self.minutes / 60, self.minutes % 60)
    }

    /// One of the ways to say it: `half past eight`, `8:30`, `8.30 am`.
    pub fn spoken(self, draw: &mut Draw) -> String {
        let ways = self.ways();
        let way = draw.below(ways.len());
        ways[way].clone()
    }

    /// All the ways to say it.
    pub fn ways(self) -> Vec<String> {
        let (hour, minute) = (self.minutes / 60, self.minutes % 60);
        let twelve = |hour: usize| if hour > 12 { hour - 12 } else { hour };
        let word = |hour: usize| NUMBERS[twelve(hour)];
        let half = if hour < 12 { "am" } else { "pm" };
        let short = twelve(hour);
        let mut ways = vec![
            format!("{short}:{minute:02}"),
            format!("{short}:{minute:02} {half}"),
        ];
        match minute {
            0 => {
                ways = vec![
                    format!("{short} {half}"),
                    format!("{short} o'clock"),
                    format!("{} o'clock", word(hour)),
                    word(hour).to_owned(),
                ];
                if hour == 12 {
                    ways.push("noon".to_owned());
                }
            }
            15 => ways.push(format!("quarter past {}", word(hour))),
            30 => {
                ways.push(format!("half past {}", word(hour)));
                ways.push(format!("{} thirty", word(hour)));
            }
            _ => ways.push(format!("quarter to {}", word(hour + 1))),
        }
        ways
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// Else an order would have two right answers.
    #[test]
    fn whatever_is_said_means_one_time() {
        let mut meant = HashMap::new();
        for clock in Clock::all() {
            for way in clock.ways() {
                assert_eq!(meant.insert(way.clone(), clock), None, "{way}");
            }
        }
        assert_eq!(meant["quarter to three"].written(), "14:45");
        assert_eq!(meant["7:30 am"].written(), "07:30");
        assert_eq!(meant["noon"].written(), "12:00");
    }
}
