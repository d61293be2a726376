#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::ops::ControlFlow;

use proptest::prelude::*;

use super::lengths::Tally;
use super::{ColumnKind, Inspection, Problem, ProblemKind, inspect};
use crate::tokenizer::fixture;
use crate::{ColumnChoice, Error, Format, Shape, Source, Tokenizer};

fn tokenizer(template: Option<&str>) -> Tokenizer {
    fixture::bytes(
        &["<|im_start|>", "<|im_end|>"],
        None,
        "<|im_end|>",
        template,
    )
}

fn inspected(name: &str, text: &str, measure: Option<(&Tokenizer, usize)>) -> Inspection {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    let source = Source::open(&path).unwrap();
    let shape = source.shape(&ColumnChoice::default()).unwrap();
    inspect(&source, &shape, measure, &mut |_| ControlFlow::Continue(())).unwrap()
}

fn problem(inspection: &Inspection, kind: ProblemKind) -> &Problem {
    inspection
        .problems
        .iter()
        .find(|problem| problem.kind == kind)
        .unwrap()
}

const ROWS: &str = "question;answer;note\n\
    1+1?;2;\n\
    1+1?;2;again\n\
    why?;;\n\
    ;because;x\n\
    1+1?;2;\n\
    a long question, longer than the others, much longer;no;\n";

#[test]
fn the_findings_are_complete() {
    let tokenizer = tokenizer(None);
    let found = inspected("a.csv", ROWS, Some((&tokenizer, 60)));
    assert_eq!(
        (found.format, found.delimiter, found.encoding.as_deref()),
        (Format::Csv, Some(';'), Some("UTF-8"))
    );
    assert_eq!(
        (
            found.rows,
            found.conversations,
            found.turns,
            found.preview.len()
        ),
        (6, 4, 8, 4)
    );
    assert_eq!(found.shape, Shape::prompt_answer(["question"], "answer"));

    let note = &found.columns[2];
    assert_eq!(
        (note.name.as_str(), note.kind, note.empty),
        ("note", ColumnKind::Text, 4)
    );
    assert_eq!(note.examples, ["again", "x"]);

    let duplicate = problem(&found, ProblemKind::Duplicate);
    assert_eq!(
        (
            duplicate.count,
            duplicate.rows.as_slice(),
            duplicate.left_out
        ),
        (2, &[2, 5][..], false)
    );
    assert_eq!(problem(&found, ProblemKind::EmptyAnswer).rows, [3]);
    assert_eq!(problem(&found, ProblemKind::EmptyPrompt).rows, [4]);
    let nothing = problem(&found, ProblemKind::NothingTrained);
    assert_eq!(
        (nothing.rows.as_slice(), nothing.left_out),
        (&[6][..], true)
    );
    assert!(
        found
            .problems
            .iter()
            .all(|problem| !problem.detail.is_empty() && !problem.remedy.is_empty())
    );
    assert_eq!(
        found.problems[0].kind,
        ProblemKind::Duplicate,
        "the most frequent first"
    );

    let lengths = found.lengths.unwrap();
    let short = tokenizer.sample(&found.preview[0], usize::MAX).unwrap();
    assert_eq!(
        (lengths.samples, lengths.min, lengths.median, lengths.cut),
        (4, short.len(), short.len(), 1)
    );
    assert_eq!(
        lengths.trained as usize,
        3 * short.trained_tokens(),
        "what is cut off is not learnt"
    );
    assert_eq!(
        (lengths.p95, lengths.max),
        (lengths.max, lengths.total as usize - 3 * short.len())
    );
}

#[test]
fn a_row_that_is_cut_within_its_answer_is_reported_and_kept() {
    let found = inspected(
        "a.csv",
        "question,answer\na,a rather long answer to so short a question\n",
        Some((&tokenizer(None), 60)),
    );
    let cut = problem(&found, ProblemKind::TooLong);
    assert_eq!((cut.count, cut.left_out), (1, false));
}

#[test]
fn only_the_first_rows_of_a_problem_are_kept() {
    let rows = "{\"prompt\": \"a\", \"answer\": \"\"}\n".repeat(2000);
    let found = inspected("a.jsonl", &rows, None);
    let empty = problem(&found, ProblemKind::EmptyAnswer);
    assert_eq!(
        (empty.count, empty.rows.len(), found.conversations),
        (2000, 10, 0)
    );
    assert_eq!((found.lengths, found.columns[1].empty), (None, 2000));
}

#[test]
fn a_template_that_refuses_rows_is_a_problem_of_those_rows() {
    let template = "{% for m in messages %}{% if 'bad' in m.content %}{{ raise_exception('not this') }}{% endif %}\
        {{ m.content }}<|im_end|>{% endfor %}";
    let tokenizer = tokenizer(Some(template));
    let found = inspected(
        "a.csv",
        "question,answer\na,b\nbad,b\n",
        Some((&tokenizer, 60)),
    );
    let refused = problem(&found, ProblemKind::TemplateRefused);
    assert_eq!(
        (refused.rows.as_slice(), refused.left_out),
        (&[2][..], true)
    );
    assert!(refused.detail.contains("not this"));
}

/// A file that is UTF-8 but for one byte: that byte is lost, and the row is named.
#[test]
fn lost_characters_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let head = "question,answer\nwhere,in Köln\n".to_owned() + &"a,b\n".repeat(100_000);
    fs::write(&path, [head.as_bytes(), b"x,caf\xe9\n"].concat()).unwrap();
    let source = Source::open(&path).unwrap();
    let shape = source.shape(&ColumnChoice::default()).unwrap();
    let found = inspect(&source, &shape, None, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(
        problem(&found, ProblemKind::UnreadableCharacters).rows,
        [100_002]
    );
}

#[test]
fn an_inspection_can_be_watched_ended_and_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, ROWS).unwrap();
    let source = Source::open(&path).unwrap();
    let shape = source.shape(&ColumnChoice::default()).unwrap();
    let ended = inspect(&source, &shape, None, &mut |_| ControlFlow::Break(()));
    assert!(matches!(ended, Err(Error::Cancelled)));
    let mut last = None;
    let found = inspect(
        &source,
        &shape,
        Some((&tokenizer(None), 60)),
        &mut |progress| {
            last = Some(progress);
            ControlFlow::Continue(())
        },
    );
    let (found, last) = (found.unwrap(), last.unwrap());
    assert_eq!(
        (last.done, last.total),
        (ROWS.len() as u64, ROWS.len() as u64)
    );
    let text = serde_json::to_string(&found).unwrap();
    assert_eq!(serde_json::from_str::<Inspection>(&text).unwrap(), found);
    let wrong = inspect(&source, &Shape::text("gone"), None, &mut |_| {
        ControlFlow::Continue(())
    });
    assert!(matches!(wrong, Err(Error::UnknownColumn { .. })));
}

proptest! {
    /// The streamed numbers are those of the sorted list.
    #[test]
    fn lengths_agree_with_the_sorted_list(mut lengths in prop::collection::vec(0usize..3000, 1..200)) {
        let mut tally = Tally::default();
        for length in &lengths {
            tally.add(*length, length / 2);
        }
        let found = tally.finish(1000);
        lengths.sort_unstable();
        let rank = |percent: usize| lengths[(lengths.len() * percent).div_ceil(100).max(1) - 1];
        prop_assert_eq!((found.min, found.median, found.p95, found.max), (lengths[0], rank(50), rank(95), rank(100)));
        prop_assert_eq!(found.total as usize, lengths.iter().sum::<usize>());
        prop_assert_eq!(found.cut as usize, lengths.iter().filter(|length| **length > 1000).count());
        prop_assert!(found.histogram.len() <= 24);
        prop_assert_eq!(found.histogram.iter().map(|bin| bin.count).sum::<u64>(), found.samples);
        prop_assert!(found.histogram.windows(2).all(|bins| bins[0].to + 1 == bins[1].from));
    }
}
