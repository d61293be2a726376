//! Evaluations, scores, answers and exports in words.

use attune_studio::api::{
    Answer, Estimate, Evaluation, EvaluationRow, Export, ExportFormat, Score, StopReason,
};

use crate::table::{Facts, Left, Right, Table};
use crate::words::{bytes, count, duration, many, measure, percent, rate};

/// What an evaluation measured.
pub(super) fn evaluation(evaluation: &Evaluation) -> String {
    let mut facts = Facts::default();
    facts.add("Model", &evaluation.model);
    facts.add(
        "Data",
        format!(
            "{}, {}",
            evaluation.data,
            many(evaluation.conversations, "conversation")
        ),
    );
    facts.add(
        "Loss",
        format!(
            "{} over {}",
            measure(evaluation.loss),
            many(evaluation.trained_tokens, "token")
        ),
    );
    facts.add("Perplexity", measure(evaluation.perplexity));
    facts.add_some("Exact match", exact_match(evaluation));
    facts.add("Time", duration(evaluation.seconds));
    evaluation
        .rows
        .iter()
        .fold(facts.to_string(), |text, one| text + "\n" + &row(one))
}

/// `46 of 48 (95.8 %)`.
pub(crate) fn exact_match(evaluation: &Evaluation) -> Option<String> {
    let (matches, answered) = evaluation.exact_matches.zip(evaluation.answered)?;
    Some(format!(
        "{} of {} ({})",
        count(matches),
        count(answered),
        percent(evaluation.exact_match.unwrap_or(0.0))
    ))
}

fn row(row: &EvaluationRow) -> String {
    let mut facts = Facts::default();
    let verdict = match row.exact_match {
        Some(true) => ", exactly right",
        Some(false) => ", not exactly right",
        None => "",
    };
    let loss = row
        .loss
        .map(|loss| format!(", loss {}", measure(loss)))
        .unwrap_or_default();
    facts.add(
        format!("Row {}", count(row.row + 1)),
        format!("{}{loss}{verdict}", many(row.trained_tokens, "token")),
    );
    facts.add("  question", one_line(&row.prompt));
    facts.add("  expected", one_line(&row.answer));
    facts.add_some("  answered", row.prediction.as_deref().map(one_line));
    facts.to_string()
}

/// A line break would end the cell.
pub(super) fn one_line(text: &str) -> String {
    text.trim().replace('\n', "⏎")
}

/// What a run would take.
pub(super) fn estimate(estimate: &Estimate) -> String {
    let mut facts = Facts::default();
    facts.add(
        "Learns from",
        format!(
            "{}, {} held out",
            many(estimate.train_conversations, "conversation"),
            count(estimate.validation_conversations)
        ),
    );
    facts.add(
        "Steps",
        format!(
            "{}, about {}",
            count(estimate.steps),
            many(estimate.tokens, "token")
        ),
    );
    facts.add(
        "Time",
        format!(
            "about {} at {}",
            duration(estimate.seconds),
            rate(estimate.tokens_per_second)
        ),
    );
    facts.add("", &estimate.rate_reason);
    let memory = &estimate.memory;
    facts.add(
        "Memory",
        format!(
            "{} of {} usable: {}",
            bytes(memory.total),
            bytes(memory.usable),
            if memory.fits { "fits" } else { "too large" }
        ),
    );
    for part in &memory.parts {
        facts.add(format!("  {}", part.name), bytes(part.bytes));
    }
    facts.add("Disk", bytes(estimate.disk));
    let mut text = facts.to_string();
    for one in &estimate.suggestions {
        text += &format!("\n{}: saves {}", one.title, bytes(one.saves));
    }
    for note in &estimate.notes {
        text += &format!("\n{note}");
    }
    text.trim_end().to_owned() + "\n"
}

/// Every token with its probability.
pub(super) fn score(score: &Score) -> String {
    let mut table = Table::new([
        ("Position", Right),
        ("Token", Right),
        ("Log-probability", Right),
    ]);
    for (position, (token, logprob)) in score.tokens.iter().zip(&score.logprobs).enumerate() {
        let logprob = logprob.map_or_else(|| "-".to_owned(), |logprob| format!("{logprob:.4}"));
        table.add([position.to_string(), token.to_string(), logprob]);
    }
    let mut facts = Facts::default();
    let known: Vec<f64> = score
        .logprobs
        .iter()
        .flatten()
        .map(|logprob| f64::from(*logprob))
        .collect();
    let sum: f64 = known.iter().sum();
    facts.add("Sum", format!("{sum:.4}"));
    if !known.is_empty() {
        facts.add("Perplexity", measure((-sum / known.len() as f64).exp()));
    }
    format!("{table}\n{facts}")
}

/// How an answer came about: `12 tokens, 134 tok/s, 0.4 s`.
pub(crate) fn answer_facts(answer: &Answer) -> String {
    let ended = match answer.stop_reason {
        StopReason::StopToken | StopReason::StopString => "",
        StopReason::Length => ", cut at the longest answer",
        StopReason::Cancelled => ", stopped",
    };
    let tokens = many(answer.answer_tokens, "token");
    format!(
        "{tokens}, {}, {}{ended}",
        rate(answer.tokens_per_second),
        duration(answer.seconds)
    )
}

/// What an export wrote.
pub(super) fn export(export: &Export) -> String {
    let what = match export.format {
        ExportFormat::Adapter => "the adapter",
        ExportFormat::Merged => "the merged model",
    };
    let mut table = Table::new([("", Left)]);
    for file in &export.files {
        table.add([format!("  {file}")]);
    }
    format!(
        "Wrote {what} to {} ({}):\n{table}",
        export.folder.display(),
        bytes(export.bytes)
    )
}
