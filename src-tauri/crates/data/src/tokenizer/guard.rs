//! Data cannot forge turns.
//!
//! A message may hold the text of a special token, such as `<|im_end|>`, by accident or on
//! purpose. Encoded with the rest, it would become that very token and end the turn. So a mark is
//! put inside each such text before the template runs; where the mark comes out, it is taken away
//! and the text is cut, and because no token spans a cut, the words are encoded as words.
//!
//! Added tokens that are not special, such as `<think>` or `<tool_call>`, are left alone: data
//! hold them on purpose. So is plain text, which has no turns.

use std::borrow::Cow;

use aho_corasick::AhoCorasick;

use crate::Turn;

/// Finds the texts of special tokens.
#[derive(Debug)]
pub(super) struct Guard {
    special: Option<AhoCorasick>,
}

/// Turns that are safe to render.
pub(super) struct Guarded<'a> {
    pub(super) turns: Cow<'a, [Turn]>,
    mark: Option<char>,
}

impl Guard {
    /// Guards against `special` texts. One of a single character cannot be cut and is not guarded.
    pub(super) fn new<'a>(special: impl Iterator<Item = &'a str>) -> Self {
        let special: Vec<_> = special
            .filter(|text| text.chars().nth(1).is_some())
            .collect();
        Self {
            special: AhoCorasick::new(special).ok(),
        }
    }

    pub(super) fn mark<'a>(&self, turns: &'a [Turn]) -> Guarded<'a> {
        let Some(special) = self
            .special
            .as_ref()
            .filter(|special| turns.iter().any(|turn| special.is_match(&turn.content)))
        else {
            return Guarded {
                turns: Cow::Borrowed(turns),
                mark: None,
            };
        };
        // A character of the private use area that the conversation does not use itself.
        let unused = |mark: &char| !turns.iter().any(|turn| turn.content.contains(*mark));
        let mark = ('\u{e000}'..='\u{f8ff}').find(unused).unwrap_or('\u{e000}');
        let marked = turns
            .iter()
            .map(|turn| Turn::new(turn.role, marked(special, &turn.content, mark)));
        Guarded {
            turns: Cow::Owned(marked.collect()),
            mark: Some(mark),
        }
    }
}

fn marked(special: &AhoCorasick, content: &str, mark: char) -> String {
    let inside = |start: usize| start + content[start..].chars().next().map_or(0, char::len_utf8);
    let mut places: Vec<usize> = special
        .find_overlapping_iter(content)
        .map(|found| inside(found.start()))
        .collect();
    places.sort_unstable();
    places.dedup();
    let mut text = String::with_capacity(content.len() + 3 * places.len());
    let mut done = 0;
    for place in places {
        text.push_str(&content[done..place]);
        text.push(mark);
        done = place;
    }
    text.push_str(&content[done..]);
    text
}

impl Guarded<'_> {
    /// The rendered text without marks, and where they stood.
    pub(super) fn unmark<'t>(&self, text: &'t str) -> (Cow<'t, str>, Vec<usize>) {
        let Some(mark) = self.mark else {
            return (Cow::Borrowed(text), Vec::new());
        };
        let mut clean = String::with_capacity(text.len());
        let mut cuts = Vec::new();
        for (number, piece) in text.split(mark).enumerate() {
            if number > 0 {
                cuts.push(clean.len());
            }
            clean.push_str(piece);
        }
        (Cow::Owned(clean), cuts)
    }

    /// Where byte `place` of the marked text lies once `cuts` are taken out.
    pub(super) fn unmarked(&self, text: &str, place: usize) -> usize {
        self.mark.map_or(place, |mark| {
            place - text[..place].matches(mark).count() * mark.len_utf8()
        })
    }
}
