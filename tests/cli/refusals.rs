//! Bad input: each is refused with what, where, why and a remedy, and changes nothing.

use std::fs;
use std::io::Write;
use std::path::Path;

use crate::place::{Place, copy_folder, orders};
use crate::words::assert_words;

/// The command is refused with this exit code and these words, in JSON too, and nothing changes.
#[track_caller]
fn refused(place: &Place, name: &str, code: i32, line: &str) {
    let before = place.contents();
    let ran = place.attune(line);
    assert_words(name, &place.seen(&ran));
    assert_eq!(ran.code, Some(code), "{ran:#?}");
    assert!(ran.stderr.starts_with("error: "), "{ran:#?}");
    assert_eq!(ran.stdout, "", "a refusal is no result");
    let json = place.attune(&format!("{line} --json"));
    assert_eq!(json.code, Some(code));
    assert!(json.json()["error"]["code"].is_string(), "{json:#?}");
    assert_eq!(place.contents(), before, "{line} changed something");
}

#[test]
fn data_files() {
    let place = Place::with_orders();
    place.write("empty.csv", "");
    place.write(
        "broken.jsonl",
        orders(3) + "{\"prompt\": \"hi\", \"answer\":\n" + &orders(2),
    );
    place.write("ragged.csv", "prompt,answer\nhi,ho\nhu,hei,he\nha,hum\n");
    place.write("shapeless.csv", "height,width\n1,2\n3,4\n");
    let garbage: Vec<u8> = (0..4096_u32)
        .map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    place.write("garbage.bin", garbage);
    place.write(
        "unsafe.zip",
        zip("../escaped.csv", "prompt,answer\nhi,ho\n"),
    );
    fs::create_dir(place.path("folder")).unwrap();
    for (name, file) in [
        ("missing file", "absent.csv"),
        ("empty file", "empty.csv"),
        ("broken line", "broken.jsonl"),
        ("ragged table", "ragged.csv"),
        ("unknown shape", "shapeless.csv"),
        ("binary garbage", "garbage.bin"),
        ("unsafe archive", "unsafe.zip"),
        ("folder", "folder"),
    ] {
        refused(
            &place,
            &format!("refused {name}"),
            1,
            &format!("data import {file}"),
        );
        assert_eq!(
            place.attune(&format!("data check {file}")).code,
            Some(1),
            "{name}"
        );
    }
    assert!(!place.path("escaped.csv").exists() && !place.path("../escaped.csv").exists());
    refused(
        &place,
        "refused unknown column",
        1,
        "data import orders.jsonl --prompt question --answer answer",
    );
    refused(&place, "refused unknown dataset", 1, "data show ordres");
}

fn zip(member: &str, content: &str) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer
        .start_file(member, zip::write::SimpleFileOptions::default())
        .unwrap();
    writer.write_all(content.as_bytes()).unwrap();
    writer.finish().unwrap().into_inner()
}

#[test]
fn model_folders() {
    let place = Place::with_orders();
    copy_folder(&place.path("model"), &place.path("weightless"));
    fs::remove_file(place.path("weightless/model.safetensors")).unwrap();
    copy_folder(&place.path("model"), &place.path("truncated"));
    cut(&place.path("truncated/model.safetensors"));
    fs::create_dir(place.path("nothing")).unwrap();
    for model in ["weightless", "truncated", "nothing"] {
        refused(
            &place,
            &format!("refused model {model}"),
            1,
            &format!("models add {model}"),
        );
        let train = format!("train --model ./{model} --dataset orders");
        assert_eq!(place.attune(&train).code, Some(1));
        refused(
            &place,
            &format!("refused score {model}"),
            1,
            &format!("score --model ./{model} --tokens 1,2"),
        );
    }
    assert!(
        place.states().is_empty(),
        "a run that cannot load its model never begins"
    );
    refused(
        &place,
        "refused unknown model",
        1,
        "score --model absent --tokens 1,2",
    );
    refused(
        &place,
        "refused adapter",
        1,
        "score --model model --adapter nothing --tokens 1,2",
    );
}

/// A model folder whose chat template would take all memory, or all stack, or twice as much with
/// every step: the program says so and goes on to live.
#[test]
fn chat_templates() {
    let place = Place::new();
    let namespace = "{% set ns = namespace(v=[1]) %}";
    for (name, template) in [
        ("repeats", "{{ (1,) * 99999999 }}".to_owned()),
        (
            "doubles",
            format!(
                "{namespace}{{% for i in range(60) %}}{{% set ns.v = [ns.v, ns.v] %}}{{% endfor %}}{{{{ ns.v|tojson }}}}"
            ),
        ),
        (
            "nests",
            format!(
                "{namespace}{{% for i in range(90000) %}}{{% set ns.v = [[[ns.v]]] %}}{{% endfor %}}"
            ),
        ),
    ] {
        copy_folder(&place.path("model"), &place.path(name));
        place.write(&format!("{name}/chat_template.jinja"), template);
        let ran = place.attune(&format!("chat --model ./{name} --prompt hi"));
        assert_eq!(ran.code, Some(1), "{ran:#?}");
        for words in [
            "error: the model's chat template was stopped: it asked for more than 32 MB",
            &format!("{name}/chat_template.jinja"),
            "replace its chat template",
        ] {
            assert!(ran.stderr.contains(words), "{words}: {ran:#?}");
        }
    }
    place
        .attune("chat --model ./model --prompt hi --max-new-tokens 2")
        .well();
}

/// Leaves the first half of a file.
fn cut(path: &Path) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
}

#[test]
fn configurations() {
    let place = Place::with_orders();
    let known = "model: ./model\ndataset: orders\n";
    place.write("unknown.yaml", format!("{known}learning_rte: 1e-4\n"));
    place.write("range.yaml", format!("{known}epochs: 1\nlora_r: 0\n"));
    place.write("kind.yaml", format!("{known}batch_size: many\n"));
    place.write("broken.yaml", "model: [\n");
    place.write("incomplete.yaml", "model: ./model\n");
    for name in ["unknown", "range", "kind", "broken", "incomplete", "absent"] {
        refused(
            &place,
            &format!("refused config {name}"),
            1,
            &format!("train {name}.yaml"),
        );
    }
    let train = "train --model ./model --dataset orders --set";
    refused(
        &place,
        "refused set unknown",
        1,
        &format!("{train} lora_rank=8"),
    );
    refused(
        &place,
        "refused set range",
        1,
        &format!("{train} epochs=1000"),
    );
    refused(
        &place,
        "refused set dataset",
        1,
        "train --model ./model --dataset absent",
    );
}

/// A command line that makes no sense never gets as far as the library.
#[test]
fn command_lines() {
    let place = Place::new();
    for (name, line) in [
        ("no command", "data"),
        ("unknown command", "tune"),
        ("unknown flag", "doctor --fast"),
        ("missing weights", "score --tokens 1,2"),
        ("two inputs", "score --model m --tokens 1,2 --text hi"),
        ("two sources", "export e --model m --to out"),
        (
            "weights conflict",
            "chat --model m --experiment e --prompt hi",
        ),
        ("temperature", "chat --model m --prompt hi --temperature 11"),
        ("assignment", "train --set epochs"),
        ("nothing to evaluate on", "evaluate --model m"),
    ] {
        let ran = place.attune(line);
        assert_words(&format!("usage {name}"), &place.seen(&ran));
        assert_eq!(ran.code, Some(2), "{ran:#?}");
        let json = place.attune(&format!("{line} --json")).json();
        assert_eq!(json["error"]["code"], "usage", "{json}");
    }
    assert!(!place.path("home").exists());
}
