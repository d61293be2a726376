#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use parquet::arrow::ArrowWriter;
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::{Format, Source};
use crate::{Error, cell};

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn open(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<Source, Error> {
        Source::open(&self.write(name, bytes))
    }
}

fn open(name: &str, bytes: impl AsRef<[u8]>) -> Source {
    Folder::new().open_and_keep(name, bytes)
}

impl Folder {
    /// Leaves the folder behind for passes after this one; the system's cleaner takes it.
    fn open_and_keep(self, name: &str, bytes: impl AsRef<[u8]>) -> Source {
        let source = self.open(name, bytes).unwrap();
        let _ = self.0.keep();
        source
    }
}

fn refused(name: &str, bytes: impl AsRef<[u8]>) -> Error {
    let folder = Folder::new();
    match folder.open(name, bytes) {
        Err(error) => error,
        Ok(source) => source.batches().find_map(Result::err).unwrap(),
    }
}

/// All rows as JSON objects, nulls left out.
fn rows(source: &Source) -> Vec<Value> {
    let mut rows = Vec::new();
    for batch in source.batches() {
        let batch = batch.unwrap();
        let schema = batch.schema();
        for row in 0..batch.num_rows() {
            let cells = schema.fields().iter().zip(batch.columns());
            let cells =
                cells.map(|(field, column)| (field.name().clone(), cell::value(column, row)));
            rows.push(Value::Object(
                cells.filter(|(_, value)| !value.is_null()).collect(),
            ));
        }
    }
    rows
}

fn parquet(rows: usize) -> Vec<u8> {
    let text: ArrayRef = Arc::new(
        (0..rows)
            .map(|row| Some(format!("row {row}")))
            .collect::<StringArray>(),
    );
    let number: ArrayRef = Arc::new((0..rows as i64).collect::<Int64Array>());
    let batch = RecordBatch::try_from_iter([("text", text), ("number", number)]).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn archive(path: &Path, members: &[(&str, &[u8])]) {
    let mut writer = ZipWriter::new(fs::File::create(path).unwrap());
    for (name, bytes) in members {
        writer
            .start_file(*name, SimpleFileOptions::default())
            .unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn csv_keeps_text_quotes_and_line_breaks() {
    let source = open("A.CSV", "id,text\n007,\"a, \"\"b\"\"\nc\"\n8,\n");
    assert_eq!(
        (source.format(), source.delimiter()),
        (Format::Csv, Some(','))
    );
    assert_eq!(
        rows(&source),
        [
            json!({"id": "007", "text": "a, \"b\"\nc"}),
            json!({"id": "8", "text": ""})
        ]
    );
    assert_eq!(rows(&source).len(), 2, "a second pass reads the same");
}

#[test]
fn the_delimiter_is_found() {
    for (delimiter, format) in [
        (";", Format::Csv),
        ("|", Format::Csv),
        ("\t", Format::Tsv),
        (",", Format::Csv),
    ] {
        for name in ["a.csv", "a.TSV", "a.txt"] {
            let text = ["q", "a\n1, 2; 3", "b\nx", "c\n"]
                .join(delimiter)
                .replace("1, 2; 3", "\"1, 2; 3\"");
            let source = open(name, &text);
            assert_eq!(source.format(), format, "{text:?} in {name}");
            assert_eq!(source.columns(), ["q", "a"]);
        }
    }
    assert_eq!(open("one.csv", "text\nhello\nyou\n").columns(), ["text"]);
}

#[test]
fn headers_become_names_that_differ() {
    assert_eq!(
        open("a.csv", "x,x, y ,\n1,2,3,4\n").columns(),
        ["x", "x_2", "y", "column_4"]
    );
}

#[test]
fn encodings_are_found() {
    let text = "prompt,answer\nWie heißt du?,Zoë – “hm”\n";
    let utf_16 = |big: bool| -> Vec<u8> {
        text.encode_utf16()
            .flat_map(|unit| {
                if big {
                    unit.to_be_bytes()
                } else {
                    unit.to_le_bytes()
                }
            })
            .collect()
    };
    let with = |mark: &[u8], bytes: Vec<u8>| [mark.to_vec(), bytes].concat();
    let windows = encoding_rs::WINDOWS_1252.encode(text).0.into_owned();
    let cases = [
        ("UTF-8", text.as_bytes().to_vec()),
        ("UTF-8", with(b"\xef\xbb\xbf", text.as_bytes().to_vec())),
        ("UTF-16LE", with(b"\xff\xfe", utf_16(false))),
        ("UTF-16BE", with(b"\xfe\xff", utf_16(true))),
        ("UTF-16LE", utf_16(false)),
        ("UTF-16BE", utf_16(true)),
        ("windows-1252", windows),
    ];
    for (name, bytes) in cases {
        let source = open("a.csv", &bytes);
        assert_eq!(source.encoding(), Some(name));
        assert_eq!(
            rows(&source),
            [json!({"prompt": "Wie heißt du?", "answer": "Zoë – “hm”"})],
            "{name}"
        );
    }
}

/// The head of most files is plain ASCII: the first umlaut may stand far behind it.
#[test]
fn the_encoding_is_found_behind_a_long_ascii_head() {
    let head = format!("text\n{}", "plain words\n".repeat(60_000));
    for (encoding, name) in [
        (encoding_rs::UTF_8, "UTF-8"),
        (encoding_rs::WINDOWS_1252, "windows-1252"),
    ] {
        let tail = encoding.encode("Grüße aus Köln\n").0;
        let source = open("a.csv", [head.as_bytes(), &tail].concat());
        assert_eq!(source.encoding(), Some(name));
        assert_eq!(rows(&source).last().unwrap()["text"], "Grüße aus Köln");
    }
}

#[test]
fn json_lists_lines_and_wrapped_lists_are_the_same_rows() {
    let expected = [json!({"a": "x", "n": 1}), json!({"a": "y {\"]", "n": 2})];
    let row = r#"{"a": "y {\"]", "n": 2}"#;
    let files = [
        (
            "a.jsonl",
            format!("{{\"a\": \"x\", \"n\": 1}}\n\n{row}\r\n"),
            Format::JsonLines,
        ),
        (
            "a.json",
            format!("[\n{{\"a\": \"x\", \"n\": 1}},\n{row}\n]\n"),
            Format::Json,
        ),
        (
            "a.JSON",
            format!("{{\"a\": \"x\", \"n\": 1}}\n{row}"),
            Format::JsonLines,
        ),
        (
            "a.ndjson",
            format!("[{{\"a\":\"x\",\"n\":1}},{row}]"),
            Format::Json,
        ),
        (
            "a.csv",
            format!(" {{\"a\":\"x\",\"n\":1}}\n{row}\n"),
            Format::JsonLines,
        ),
        (
            "b.csv",
            format!("[{{\"a\":\"x\",\"n\":1}},\n{row}]\n"),
            Format::Json,
        ),
        (
            "a.json",
            format!(
                "{{\"version\": [1, 2], \"o\": {{\"data\": []}}, \"rows\": [{{\"a\":\"x\",\"n\":1}}, {row}], \"end\": \"]\"}}"
            ),
            Format::Json,
        ),
    ];
    for (name, text, format) in files {
        // A list under the name of lines is read as what it is.
        let source = open(name, &text);
        assert_eq!(source.format(), format, "{text}");
        assert_eq!(rows(&source), expected, "{text}");
    }
}

#[test]
fn one_line_of_one_object_is_a_row() {
    assert_eq!(
        rows(&open("a.jsonl", r#"{"messages": [{"role": "user"}]}"#)).len(),
        1
    );
    assert_eq!(
        rows(&open("a.json", r#"{"prompt": "a", "answer": "b"}"#)).len(),
        1
    );
}

#[test]
fn bare_texts_and_bare_conversations_are_columns() {
    assert_eq!(
        rows(&open("a.json", r#"["x", "y"]"#))[1],
        json!({"text": "y"})
    );
    assert_eq!(
        rows(&open("a.json", r#"[[{"role": "user"}], []]"#))[0],
        json!({"messages": [{"role": "user"}]})
    );
}

#[test]
fn values_of_mixed_type_become_json_text() {
    let source = open(
        "a.jsonl",
        r#"{"x": 1, "n": 1, "l": [1, "a", null], "o": {"k": [1]}, "e": {}, "late": null, "big": 18446744073709551615}
           {"x": "two", "n": 2.5, "l": [], "o": {"k": {"z": true}}, "e": {}, "b": true}
           {"x": {"y": [3]}, "n": null, "o": null, "b": false, "late": [{"role": "user"}]}"#,
    );
    let data_type = |name: &str| {
        source
            .schema()
            .field_with_name(name)
            .unwrap()
            .data_type()
            .clone()
    };
    assert_eq!(data_type("n"), DataType::Float64);
    assert_eq!(data_type("b"), DataType::Boolean);
    assert_eq!(data_type("x"), DataType::Utf8);
    assert_eq!(
        rows(&source),
        [
            json!({"x": "1", "n": 1.0, "l": ["1", "a", null], "o": {"k": "[1]"}, "e": "{}", "big": "18446744073709551615"}),
            json!({"x": "two", "n": 2.5, "l": [], "o": {"k": "{\"z\":true}"}, "e": "{}", "b": true}),
            json!({"x": "{\"y\":[3]}", "b": false, "late": [{"role": "user"}]}),
        ]
    );
}

#[test]
fn parquet_is_known_by_its_content() {
    for name in ["a.parquet", "a.PQ", "a.csv", "a"] {
        let source = open(name, parquet(3000));
        assert_eq!(
            (source.format(), source.encoding()),
            (Format::Parquet, None)
        );
        assert_eq!(
            source
                .batches()
                .map(|batch| batch.unwrap().num_rows())
                .sum::<usize>(),
            3000
        );
        assert_eq!(
            rows(&source)[2999],
            json!({"text": "row 2999", "number": 2999})
        );
    }
}

#[test]
fn an_archive_is_read_through_its_training_member() {
    let folder = Folder::new();
    let path = folder.0.path().join("a.ZIP");
    let parquet = parquet(2);
    archive(
        &path,
        &[
            ("data/eval.csv", b"text\nno\n"),
            ("data/Train.JSONL", b"{\"text\": \"yes\"}\n"),
            ("b.parquet", &parquet),
            ("__MACOSX/data/._Train.JSONL", b"\0\0"),
            ("data/._x.csv", b"\0"),
            ("readme.md", b"hello"),
        ],
    );
    let source = Source::open(&path).unwrap();
    assert_eq!(
        source.members(),
        ["b.parquet", "data/Train.JSONL", "data/eval.csv"]
    );
    assert_eq!(source.member(), Some("data/Train.JSONL"));
    assert_eq!(rows(&source), [json!({"text": "yes"})]);
    assert_eq!(
        rows(&Source::open_member(&path, "b.parquet").unwrap()).len(),
        2
    );
    let error = Source::open_member(&path, "c.csv").unwrap_err();
    assert!(
        error.remedy().unwrap().contains("`data/eval.csv`"),
        "{error:?}"
    );
    let pass = Source::open(&path).unwrap().batches();
    assert_eq!(pass.count(), 1, "the copy lives as long as a pass over it");
}

#[test]
fn unsafe_archives_are_refused_whole() {
    let folder = Folder::new();
    let path = folder.0.path().join("a.zip");
    let good: (&str, &[u8]) = ("a.csv", b"text\nx\n");
    for name in [
        "../b.csv",
        "x/../../b.csv",
        "/etc/b.csv",
        "C:/b.csv",
        "..\\b.csv",
    ] {
        archive(&path, &[good, (name, b"text\nx\n")]);
        assert_eq!(
            Source::open(&path).unwrap_err().code(),
            "data-unsafe-zip",
            "{name}"
        );
    }
    let mut writer = ZipWriter::new(fs::File::create(&path).unwrap());
    writer
        .add_symlink("link.csv", "/etc/passwd", SimpleFileOptions::default())
        .unwrap();
    writer.finish().unwrap();
    assert!(
        Source::open(&path)
            .unwrap_err()
            .to_string()
            .contains("is a link")
    );

    archive(&path, &[("bomb.csv", &vec![b'a'; 80 << 20])]);
    let error = Source::open(&path).unwrap_err();
    assert!(
        error.to_string().contains("would grow more than 200 times"),
        "{error}"
    );
}

#[test]
fn archives_with_nothing_to_read_are_refused() {
    let folder = Folder::new();
    let path = folder.0.path().join("a.zip");
    archive(&path, &[("readme.md", b"hello"), ("inner.zip", b"PK")]);
    assert!(
        Source::open(&path)
            .unwrap_err()
            .to_string()
            .contains("it holds no CSV")
    );
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(bytes.len() / 2);
    assert_eq!(refused("cut.zip", bytes).code(), "data-broken-zip");
    assert_eq!(refused("b.zip", "not a zip").code(), "data-broken-zip");
}

/// Every refusal: its code, its place and a part of its sentence. Each has a remedy.
#[test]
fn bad_input_is_refused_with_file_line_reason_and_remedy() {
    let cut = |bytes: Vec<u8>, end: usize| bytes[..bytes.len() - end].to_vec();
    let huge = format!("a,b\n1,2\n1,\"{}\n", "never closed\n".repeat(6 << 20));
    let noise: Vec<u8> = (0..4096u32)
        .map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let cases: Vec<(&str, Vec<u8>, &str, &str, &str)> = vec![
        ("a.csv", b"".to_vec(), "data-empty", "a.csv", "no bytes"),
        ("a.csv", b" \n\n".to_vec(), "data-empty", "a.csv", "no rows"),
        (
            "a.csv",
            b"a,b\n".to_vec(),
            "data-empty",
            "a.csv",
            "header and no rows",
        ),
        ("a.json", b"[ ]".to_vec(), "data-empty", "a.json", "no rows"),
        (
            "a.parquet",
            parquet(0),
            "data-empty",
            "a.parquet",
            "no rows",
        ),
        (
            "a.csv",
            b"a,b\n1,2\n\"x\ny\",2\n1,2,3\n".to_vec(),
            "data-ragged",
            "a.csv:5",
            "3 columns where the header has 2",
        ),
        (
            "a.csv",
            b"a,b,c\n1,2,3\n1,2\n".to_vec(),
            "data-ragged",
            "a.csv:3",
            "2 columns where the header has 3",
        ),
        (
            "a.csv",
            huge.into_bytes(),
            "data-huge-row",
            "a.csv:3",
            "larger than 64 MiB",
        ),
        (
            "a.jsonl",
            b"{\"a\": 1}\n\n{\"a\": 2\n{\"a\": 3}\n".to_vec(),
            "data-broken-line",
            "a.jsonl:3",
            "EOF",
        ),
        (
            "a.jsonl",
            b"{\"a\": 1}\n7\n".to_vec(),
            "data-broken-line",
            "a.jsonl:2",
            "neither an object nor text",
        ),
        (
            "a.jsonl",
            b"hello\n".to_vec(),
            "data-broken-line",
            "a.jsonl:1",
            "broken JSON",
        ),
        (
            "a.json",
            b"hello\n".to_vec(),
            "data-broken-line",
            "a.json:1",
            "neither [ nor {",
        ),
        (
            "a.json",
            b"[\n{\"a\": 1},\n{\"a\"\n: x}]".to_vec(),
            "data-broken-line",
            "a.json:4",
            "expected value",
        ),
        (
            "a.json",
            b"[\n{\"a\": 1}\n{\"a\": 1}]".to_vec(),
            "data-broken-line",
            "a.json:3",
            "no comma",
        ),
        (
            "a.json",
            b"[\n{\"a\": 1},\n{\"a\":\n \"".to_vec(),
            "data-broken-line",
            "a.json:3",
            "the file ends inside",
        ),
        (
            "a.json",
            b"[{\"a\": 1}\n".to_vec(),
            "data-broken-line",
            "a.json:2",
            "ends before the list",
        ),
        (
            "a.json",
            b"[{\"a\": 1}\n]\n]".to_vec(),
            "data-broken-line",
            "a.json:3",
            "behind the end",
        ),
        (
            "a.json",
            b"{\n\"a\": 1\n}".to_vec(),
            "data-no-list",
            "a.json",
            "without a list",
        ),
        (
            "a.json",
            b"{\"a\": [{}],\n\"b\": [{}]}".to_vec(),
            "data-no-list",
            "a.json",
            "several lists: a, b",
        ),
        (
            "a.csv",
            noise.clone(),
            "data-not-a-table",
            "a.csv",
            "binary data",
        ),
        (
            "a.jsonl",
            [b"{}\n".to_vec(), vec![0; 100]].concat(),
            "data-not-a-table",
            "a.jsonl",
            "binary data",
        ),
        (
            "a.csv.gz",
            b"\x1f\x8b\x08\x00rest".to_vec(),
            "data-not-a-table",
            "a.csv.gz",
            "gzip",
        ),
        (
            "a.txt",
            b"Just words.\nAnd more of them.\n".to_vec(),
            "data-not-a-table",
            "a.txt",
            "no rows of columns",
        ),
        (
            "a.parquet",
            noise,
            "data-broken-parquet",
            "a.parquet",
            "does not begin",
        ),
        (
            "a.parquet",
            cut(parquet(9), 5),
            "data-broken-parquet",
            "a.parquet",
            "not a whole Parquet",
        ),
        (
            "a.parquet",
            b"PAR1".to_vec(),
            "data-broken-parquet",
            "a.parquet",
            "not a whole Parquet",
        ),
    ];
    for (name, bytes, code, place, words) in cases {
        let error = refused(name, bytes);
        assert_eq!(error.code(), code, "{name}: {error}");
        assert!(
            error.place().unwrap().ends_with(place),
            "{error}: {:?}",
            error.place()
        );
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.remedy().is_some_and(|remedy| remedy.ends_with('.')));
    }
    let folder = Folder::new();
    assert_eq!(
        Source::open(&folder.0.path().join("no.csv"))
            .unwrap_err()
            .code(),
        "data-missing"
    );
    assert_eq!(
        Source::open(folder.0.path()).unwrap_err().code(),
        "data-folder"
    );
}

/// A Parquet file whose middle is damaged fails when it is read, and not before.
#[test]
fn a_damaged_parquet_page_is_an_error() {
    let mut bytes = parquet(5000);
    for byte in &mut bytes[100..2000] {
        *byte ^= 0x5a;
    }
    assert_eq!(refused("a.parquet", bytes).code(), "data-broken-parquet");
}

#[test]
fn a_pass_says_how_far_it_is_and_can_be_ended() {
    let text = "{\"a\": \"some words\"}\n".repeat(20_000);
    let folder = Folder::new();
    let path = folder.write("a.jsonl", &text);
    let mut calls = Vec::new();
    let mut watch = |progress: super::Progress| {
        calls.push(progress);
        ControlFlow::Continue(())
    };
    let source = Source::open_watched(&path, None, &mut watch).unwrap();
    assert!(calls.len() > 5 && calls.iter().all(|call| call.total == text.len() as u64));
    let mut batches = source.batches();
    assert_eq!(batches.progress().done, 0);
    batches.by_ref().for_each(drop);
    assert_eq!(batches.progress().done, text.len() as u64);
    let ended = Source::open_watched(&path, None, &mut |_| ControlFlow::Break(()));
    assert!(matches!(ended, Err(Error::Cancelled)));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e6f64..1e6).prop_map(Value::from),
        "[a-z\"\\\\\\[\\]{}, \n🙂]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[abc]", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever types rows mix, all of them are read, in every layout, and no text is lost.
    #[test]
    fn any_json_rows_are_read(values in prop::collection::vec((any_json(), any_json()), 1..12)) {
        let objects: Vec<Value> = values.iter().map(|(x, y)| json!({"x": x, "y": y})).collect();
        let lines: String = objects.iter().flat_map(|row| [row.to_string(), "\n".into()]).collect();
        let list = serde_json::to_string_pretty(&objects).unwrap();
        let folder = Folder::new();
        let [lines, list] = [("a.jsonl", lines), ("a.json", list)].map(|(name, text)| folder.open(name, text).unwrap());
        prop_assert_eq!(rows(&lines).len(), objects.len());
        prop_assert_eq!(rows(&lines), rows(&list));
        let text = |value: &Value| value.as_str().map(str::to_owned);
        for (row, object) in rows(&lines).iter().zip(&objects) {
            if let Some(expected) = text(&object["x"]) {
                prop_assert_eq!(text(&row["x"]), Some(expected));
            }
        }
    }

    /// What a CSV writer writes is read back, whatever stands in the cells.
    #[test]
    fn any_csv_is_read_back(cells in prop::collection::vec(prop::array::uniform3("[a-z,;\"\n\t é🙂]{0,8}"), 1..20)) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["one", "two", "three"]).unwrap();
        for row in &cells {
            writer.write_record(row).unwrap();
        }
        let source = open("a.csv", writer.into_inner().unwrap());
        let read: Vec<Value> = cells.iter().map(|[one, two, three]| json!({"one": one, "two": two, "three": three})).collect();
        prop_assert_eq!(rows(&source), read);
    }

    /// No bytes whatsoever make reading panic.
    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400), text in "[\\[\\]{}\":,a0 \n]{0,40}", name in 0..6usize) {
        let name = ["a.csv", "a.tsv", "a.json", "a.jsonl", "a.parquet", "a.zip"][name];
        for content in [&bytes[..], text.as_bytes(), &[b"PAR1", &bytes[..], b"PAR1"].concat(), &[b"PK\x03\x04", &bytes[..]].concat()] {
            let folder = Folder::new();
            if let Ok(source) = folder.open(name, content) {
                source.batches().for_each(drop);
            }
        }
    }
}
