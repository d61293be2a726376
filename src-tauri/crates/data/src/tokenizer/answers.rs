//! Where the answers lie in a rendered conversation.

use std::ops::Range;

use crate::{ChatTemplate, Error, Result, Role, Turn};

/// For each assistant turn, the bytes of `full` (the rendering of all `turns`) that the model is
/// to write: from the end of the generation prompt to where the template ends the turn.
pub(super) fn find(
    template: &ChatTemplate,
    turns: &[Turn],
    full: &str,
) -> Result<Vec<Range<usize>>> {
    let mut spans: Vec<Range<usize>> = Vec::new();
    for (index, turn) in turns.iter().enumerate() {
        if turn.role != Role::Assistant {
            continue;
        }
        let opened = template.render(&turns[..index], true)?;
        let last = index + 1 == turns.len();
        let closed = if last {
            full.to_owned()
        } else {
            template.render(&turns[..=index], false)?
        };
        let prefix =
            full.starts_with(&opened) && full.starts_with(&closed) && opened.len() < closed.len();
        let span = if prefix {
            Some(opened.len()..closed.len())
        } else {
            let before = common_prefix(&template.render(&turns[..index], false)?, full);
            let from = spans.last().map_or(0, |span| span.end).max(before);
            search(&opened, &closed, &turn.content, full, from)
        };
        let span = span.filter(|span| spans.last().is_none_or(|earlier| earlier.end <= span.start));
        spans.push(span.ok_or(Error::AnswerLost { turn: index + 1 })?);
    }
    Ok(spans)
}

/// Finds an answer by its words, for templates that render a turn differently once others follow:
/// Qwen3 drops the thoughts of earlier turns, DeepSeek's does not repeat its `<think>`, Mistral's
/// moves the system message to the last user turn.
fn search(
    opened: &str,
    closed: &str,
    content: &str,
    full: &str,
    from: usize,
) -> Option<Range<usize>> {
    let words = content.rsplit("</think>").next().unwrap_or(content).trim();
    let end = &closed[closed.rfind(words)? + words.len()..];
    let needle = format!("{words}{}", end.trim_end());
    // Without its closing marker an answer such as "a" would be found anywhere.
    if words.is_empty() || end.trim().is_empty() {
        return None;
    }
    let start = from + full[from..].find(&needle)?;
    let kept = if full[start..].starts_with(&format!("{words}{end}")) {
        end
    } else {
        end.trim_end()
    };
    let opening = if full.starts_with(opened) {
        opened.len().min(start)
    } else {
        // A space before the first word is part of it: Mistral's prompt ends before that space.
        full[..start].trim_end_matches(' ').len()
    };
    Some(opening..start + words.len() + kept.len())
}

fn common_prefix(left: &str, right: &str) -> usize {
    let same = left
        .bytes()
        .zip(right.bytes())
        .take_while(|(left, right)| left == right)
        .count();
    (0..=same)
        .rev()
        .find(|place| right.is_char_boundary(*place))
        .unwrap_or(0)
}
