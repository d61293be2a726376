#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::io::Write;

use serde_json::json;

use crate::{ColumnChoice, Conversation, Error, Role, RowFault, RowProblem, Shape, Source, Turn};

/// Rows as they come from a file, which may be deleted once it is open.
fn source(name: &str, text: &str) -> (tempfile::TempDir, Source) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::File::create(&path)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let source = Source::open(&path).unwrap();
    (folder, source)
}

fn json_rows(rows: &serde_json::Value) -> (tempfile::TempDir, Source) {
    source("a.json", &rows.to_string())
}

fn guess(rows: &serde_json::Value) -> Shape {
    json_rows(rows).1.shape(&ColumnChoice::default()).unwrap()
}

fn conversations(rows: &serde_json::Value) -> Vec<Result<Conversation, RowProblem>> {
    let (_folder, source) = json_rows(rows);
    let shape = source.shape(&ColumnChoice::default()).unwrap();
    source.conversations(&shape).map(Result::unwrap).collect()
}

fn chat(turns: &[(Role, &str)]) -> Conversation {
    Conversation {
        turns: turns
            .iter()
            .map(|(role, content)| Turn::new(*role, *content))
            .collect(),
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "it makes the values of optional columns"
)]
fn some(name: &str) -> Option<String> {
    Some(name.to_owned())
}

const S: Role = Role::System;
const U: Role = Role::User;
const A: Role = Role::Assistant;

#[test]
fn openai_messages() {
    let rows = json!([{ "id": 1, "messages": [
        { "role": "developer", "content": "s" }, { "role": "user", "content": [{ "type": "text", "text": "a" }] },
        { "role": "assistant", "content": "b" }, { "role": "user", "content": "c" }, { "role": "assistant", "content": "d" } ] }]);
    assert_eq!(
        guess(&rows),
        Shape::Messages {
            column: "messages".into(),
            system: None,
            answer: None
        }
    );
    assert_eq!(
        conversations(&rows),
        [Ok(chat(&[
            (S, "s"),
            (U, "a"),
            (A, "b"),
            (U, "c"),
            (A, "d")
        ]))]
    );
}

#[test]
fn sharegpt_conversations_with_a_system_column() {
    let rows = json!([{ "system": "s", "conversations": [{ "from": "human", "value": "a" }, { "from": "gpt", "value": "b" }] },
        { "system": null, "conversations": [{ "from": "system", "value": "own" }, { "from": "human", "value": "a" }, { "from": "gpt", "value": "b" }] }]);
    assert_eq!(
        guess(&rows),
        Shape::ShareGpt {
            column: "conversations".into(),
            system: some("system"),
            answer: None
        }
    );
    let expected = [
        Ok(chat(&[(S, "s"), (U, "a"), (A, "b")])),
        Ok(chat(&[(S, "own"), (U, "a"), (A, "b")])),
    ];
    assert_eq!(conversations(&rows), expected);
}

/// Preference data: the chosen answer ends the conversation, the rejected one is not used.
#[test]
fn preference_pairs_are_read_with_the_chosen_answer() {
    let answer = |words: &str| json!({ "from": "gpt", "value": words });
    let rows = json!([{ "conversations": [{ "from": "human", "value": "a" }], "chosen": answer("b"), "rejected": answer("c") }]);
    assert_eq!(
        guess(&rows),
        Shape::ShareGpt {
            column: "conversations".into(),
            system: None,
            answer: some("chosen")
        }
    );
    assert_eq!(conversations(&rows), [Ok(chat(&[(U, "a"), (A, "b")]))]);
    let turns = |words: &str| json!([{ "role": "user", "content": "a" }, { "role": "assistant", "content": words }]);
    let rows = json!([{ "chosen": turns("b"), "rejected": turns("c") }]);
    assert_eq!(conversations(&rows), [Ok(chat(&[(U, "a"), (A, "b")]))]);
}

#[test]
fn alpaca_rows() {
    let rows = json!([{ "instruction": "a", "input": "x", "output": "b" }, { "instruction": "a", "input": "", "output": "b", "system": "s" }]);
    let expected = Shape::Alpaca {
        instruction: "instruction".into(),
        input: some("input"),
        output: "output".into(),
        system: some("system"),
    };
    assert_eq!(guess(&rows), expected);
    assert_eq!(
        conversations(&rows),
        [
            Ok(chat(&[(U, "a\n\nx"), (A, "b")])),
            Ok(chat(&[(S, "s"), (U, "a"), (A, "b")]))
        ]
    );
}

#[test]
fn columns_by_the_names_of_h2o() {
    let names = [
        ("question", "answer"),
        ("Prompt", "Response"),
        ("input", "output"),
        ("user", "assistant"),
        ("instruction", "chosen"),
    ];
    for (prompt, answer) in names {
        let (_folder, source) = source("a.csv", &format!("id,{prompt},{answer}\n1,a,b\n"));
        assert_eq!(
            source.shape(&ColumnChoice::default()).unwrap(),
            Shape::prompt_answer([prompt], answer)
        );
    }
    let rows = json!([{ "question": "a", "context": "x", "answer": "b", "system": "s" }]);
    assert_eq!(
        conversations(&rows),
        [Ok(chat(&[(S, "s"), (U, "a\n\nx"), (A, "b")]))]
    );
}

#[test]
fn plain_text() {
    assert_eq!(
        guess(&json!([{ "text": "a", "label": 1 }])),
        Shape::text("text")
    );
    assert_eq!(
        guess(&json!([{ "whatever": "a" }])),
        Shape::text("whatever")
    );
    let rows = json!([{ "text": " a\n" }, { "text": " " }]);
    let problem = RowProblem {
        row: 2,
        fault: RowFault::EmptyText,
    };
    assert_eq!(
        conversations(&rows),
        [Ok(chat(&[(Role::Text, " a\n")])), Err(problem)]
    );
}

/// CSV and mixed JSON hold lists as text.
#[test]
fn messages_written_as_json_text() {
    let list = r#"[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]"#;
    let (_folder, source) = source(
        "a.csv",
        &format!("messages,n\n\"{}\",1\n[],2\n", list.replace('"', "\"\"")),
    );
    let shape = source.shape(&ColumnChoice::default()).unwrap();
    assert_eq!(
        shape,
        Shape::Messages {
            column: "messages".into(),
            system: None,
            answer: None
        }
    );
    let rows: Vec<_> = source.conversations(&shape).map(Result::unwrap).collect();
    assert_eq!(
        rows,
        [
            Ok(chat(&[(U, "a"), (A, "b")])),
            Err(RowProblem {
                row: 2,
                fault: RowFault::NoMessages
            })
        ]
    );
}

#[test]
fn an_unknown_shape_lists_the_columns_and_what_is_expected() {
    let (_folder, source) = json_rows(&json!([{ "left": "a", "right": "b" }]));
    let error = source.shape(&ColumnChoice::default()).unwrap_err();
    assert_eq!(error.code(), "data-unknown-shape");
    assert_eq!(
        error.to_string(),
        "no known shape: the columns are `left`, `right`"
    );
    assert!(error.remedy().unwrap().contains("`messages`"));
}

#[test]
fn chosen_columns_replace_the_guess() {
    let (_folder, source) =
        json_rows(&json!([{ "left": "a", "right": "b", "system": "s", "text": "t" }]));
    let choose = |choice: ColumnChoice| source.shape(&choice);
    let pair = ColumnChoice {
        prompt: vec!["left".into()],
        answer: some("right"),
        ..Default::default()
    };
    let shape = choose(pair.clone()).unwrap();
    assert_eq!(
        shape,
        Shape::prompt_answer(["left"], "right").with_system(some("system"))
    );
    let without = choose(ColumnChoice {
        system: some(""),
        ..pair.clone()
    })
    .unwrap();
    assert_eq!(without, Shape::prompt_answer(["left"], "right"));
    assert_eq!(
        choose(ColumnChoice {
            text: some("left"),
            ..Default::default()
        })
        .unwrap(),
        Shape::text("left")
    );
    let error = choose(ColumnChoice {
        answer: some("wrong"),
        ..pair
    })
    .unwrap_err();
    assert!(
        matches!(error, Error::UnknownColumn { ref column, .. } if column == "wrong"),
        "{error:?}"
    );
}

#[test]
fn a_shape_is_written_and_read_back() {
    let shape = Shape::prompt_answer(["a", "b"], "c").with_system(some("s"));
    let text = serde_json::to_string(&shape).unwrap();
    assert_eq!(
        text,
        r#"{"kind":"prompt_answer","system":"s","prompt":["a","b"],"separator":"\n\n","answer":"c"}"#
    );
    assert_eq!(serde_json::from_str::<Shape>(&text).unwrap(), shape);
    let short = r#"{"kind":"prompt_answer","prompt":["a"],"answer":"c"}"#;
    assert_eq!(
        serde_json::from_str::<Shape>(short).unwrap(),
        Shape::prompt_answer(["a"], "c")
    );
    assert!(serde_json::from_str::<Shape>(r#"{"kind":"text","column":"a","colour":1}"#).is_err());
}

#[test]
fn what_is_wrong_with_a_row_is_kept_with_its_number() {
    let row = |turns: &[(&str, &str)]| {
        let messages: Vec<_> = turns
            .iter()
            .map(|(role, content)| json!({ "role": role, "content": content }))
            .collect();
        json!({ "messages": messages })
    };
    let rows = json!([
        row(&[("user", "a"), ("assistant", "b")]),
        row(&[("user", "a")]),
        row(&[("user", " "), ("assistant", "b")]),
        row(&[("user", "a"), ("assistant", "")]),
        row(&[("assistant", "b")]),
        row(&[("user", "a"), ("user", "a"), ("assistant", "b")]),
        row(&[("user", "a"), ("system", "late"), ("assistant", "b")]),
        row(&[("user", "a"), ("tool", "b")]),
        row(&[]),
        row(&[("system", "only")]),
        { "messages": [{ "role": "user", "content": [{ "type": "image", "url": "x" }] }] },
        row(&[("system", ""), ("user", "a"), ("assistant", "b")]),
    ]);
    let faults: Vec<_> = conversations(&rows)
        .into_iter()
        .filter_map(Result::err)
        .map(|problem| (problem.row, problem.fault))
        .collect();
    let expected = [
        (2, RowFault::NoAnswer),
        (3, RowFault::EmptyPrompt),
        (4, RowFault::EmptyAnswer),
        (5, RowFault::RolesOutOfOrder),
        (6, RowFault::RolesOutOfOrder),
        (7, RowFault::RolesOutOfOrder),
        (8, RowFault::UnknownRole("tool".into())),
        (9, RowFault::NoMessages),
        (10, RowFault::NoMessages),
        (11, RowFault::NotText),
    ];
    assert_eq!(faults, expected);
    let rows = json!([{ "prompt": "", "answer": "b" }, { "prompt": "a", "answer": null }]);
    let faults: Vec<_> = conversations(&rows)
        .into_iter()
        .map(|row| row.unwrap_err().fault)
        .collect();
    assert_eq!(faults, [RowFault::EmptyPrompt, RowFault::EmptyAnswer]);
}

/// Numbers are answers too, and a row keeps its number in the second batch.
#[test]
fn rows_are_numbered_through_all_batches() {
    let mut text = "question,answer\n".to_owned();
    for row in 1..=3000 {
        let answer = if row % 1000 == 0 { "" } else { "b" };
        text += &[
            &row.to_string(),
            ",",
            answer,
            "
",
        ]
        .concat();
    }
    let (_folder, source) = source("a.csv", &text);
    let shape = source.shape(&ColumnChoice::default()).unwrap();
    let problems: Vec<u64> = source
        .conversations(&shape)
        .filter_map(|row| row.unwrap().err())
        .map(|problem| problem.row)
        .collect();
    assert_eq!(problems, [1000, 2000, 3000]);
    let (_folder, numbers) = json_rows(&json!([{ "question": 1, "answer": 2.5 }]));
    let first = numbers.conversations(&shape).next().unwrap().unwrap();
    assert_eq!(first, Ok(chat(&[(U, "1"), (A, "2.5")])));
}
