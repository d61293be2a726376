//! Every command runs, says what it should, and speaks JSON.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use crate::place::{Place, orders, train};
use crate::words::assert_words;

/// One command line and the name of its snapshot.
fn show(place: &Place, name: &str, line: &str) {
    let ran = place.attune(line);
    assert_words(name, &place.seen(&ran));
}

/// The library before anything is in it: every list says what belongs there and how to get it.
#[test]
fn empty_lists_say_what_to_do() {
    let place = Place::new();
    for line in ["data list", "models list", "experiments list"] {
        show(&place, &format!("empty {line}"), line);
        assert_eq!(
            place.attune(&format!("{line} --json")).well().json(),
            serde_json::json!([])
        );
    }
}

#[test]
fn data() {
    let place = Place::new();
    place.write(
        "orders.jsonl",
        orders(24) + "{\"prompt\": \"late\", \"answer\": \"\"}\n",
    );
    show(
        &place,
        "data check",
        "data check orders.jsonl --model model --max-length 48",
    );
    assert_eq!(
        place.attune("data list --json").json(),
        serde_json::json!([]),
        "a check keeps nothing"
    );
    show(&place, "data import", "data import orders.jsonl");
    show(&place, "data list", "data list");
    show(&place, "data show", "data show ord --first 2 --count 1");
    show(&place, "data remove", "data remove orders --yes");
    place.write("table.csv", "question;reply;note\nhi;ho;x\nhu;hei;y\n");
    show(
        &place,
        "data import chosen columns",
        "data import table.csv --prompt note --answer reply --name chosen",
    );
}

#[test]
fn data_speaks_json() {
    let place = Place::with_orders();
    let page = place
        .attune("data show orders --first 3 --count 2 --json")
        .well()
        .json();
    assert_eq!(page["conversations"].as_array().unwrap().len(), 2);
    assert_eq!(
        page["conversations"][0]["turns"][0]["content"],
        "3 cake, order 2"
    );
    assert_eq!(
        place.attune("data check orders.jsonl --json").well().json()["rows"],
        24
    );
    let report = place
        .attune("data import orders.jsonl --name twin --json")
        .well();
    assert_eq!(report.json()["dataset"]["id"], "twin");
    assert_eq!(report.stderr, "", "a program hears nothing but the result");
    assert_eq!(
        place.attune("data remove twin --yes --json").well().json()["id"],
        "twin"
    );
}

#[test]
fn models() {
    let place = Place::new();
    show(&place, "models add", "models add model --name small");
    show(&place, "models list", "models list");
    show(&place, "models inspect", "models inspect small");
    assert_eq!(
        place.attune("models list --json").well().json()[0]["facts"]["parameters"],
        26_848
    );
    assert_eq!(
        place.attune("models inspect ./model --json").well().json()["layers"],
        2
    );
    show(&place, "models remove", "models remove small");
    assert!(
        place.path("model/model.safetensors").is_file(),
        "an added folder is only forgotten"
    );
}

/// The main story: tune, look, measure, talk, take away.
#[test]
fn tuning_and_what_comes_after() {
    let place = Place::with_orders();
    let line = train(8) + " --set evaluation_epochs=0.5 --set evaluate_before_training=on";
    show(&place, "train dry run", &(line.clone() + " --dry-run"));
    assert!(place.states().is_empty(), "a dry run leaves nothing");
    show(&place, "train", &line);
    show(&place, "experiments list", "experiments list");
    show(&place, "experiments show", "experiments show run");
    show(
        &place,
        "evaluate",
        "evaluate --experiment run --max-new-tokens 4 --rows",
    );
    show(
        &place,
        "evaluate loss only",
        "evaluate --model model --data orders.jsonl --loss-only --limit 5",
    );
    show(&place, "export adapter", "export --experiment run --to out");
    show(
        &place,
        "export merged",
        "export --model model --adapter out --to whole --format merged --dtype bfloat16",
    );
    show(
        &place,
        "export occupied",
        "export --experiment run --to out",
    );
    show(
        &place,
        "score",
        "score --model model --adapter out --tokens 1,2,3",
    );
    show(
        &place,
        "experiments delete unconfirmed",
        "experiments delete run",
    );
    show(&place, "experiments delete", "experiments delete run --yes");
}

/// Programs follow a run line by line: events first, the result last.
#[test]
fn tuning_and_what_comes_after_speaks_json() {
    let place = Place::with_orders();
    let lines = place.attune(&(train(6) + " --json")).well().lines();
    let steps = lines
        .iter()
        .filter(|line| line["event"]["event"] == "step")
        .count();
    assert_eq!(steps, 6);
    let result = lines.last().unwrap();
    assert_eq!(
        (&result["type"], &result["command"]),
        (&"result".into(), &"experiment_start".into())
    );
    assert_eq!(result["result"]["state"], "finished");

    let evaluation = place
        .attune("evaluate --experiment run --max-new-tokens 4 --json")
        .well()
        .json();
    assert_eq!(evaluation["rows"].as_array().unwrap().len(), 2);
    let score = place
        .attune("score --model model --text hi --json")
        .well()
        .json();
    assert_eq!(score["tokens"], serde_json::json!([104, 105]));
    assert!(score["logprobs"][0].is_null() && score["logprobs"][1].as_f64().unwrap() < 0.0);
    let answer = place
        .attune("chat --experiment run --prompt hi --max-new-tokens 4 --json")
        .well()
        .json();
    assert!(answer["answer_tokens"].as_u64().unwrap() <= 4);
    let export = place
        .attune("export --experiment run --to out --json")
        .well()
        .json();
    assert!(
        export["files"]
            .as_array()
            .unwrap()
            .contains(&"adapter_model.safetensors".into())
    );
    let report = place.attune("experiments show run --json").well().json();
    assert_eq!(report["experiment"]["step"], 6);
    assert_eq!(
        place
            .attune("experiments delete run --yes --json")
            .well()
            .json()["id"],
        "run"
    );
}

/// An exported adapter and the merged model answer as the experiment does.
#[test]
fn what_is_exported_is_what_was_tuned() {
    let place = Place::with_orders();
    place.attune(&train(30)).well();
    place.attune("export --experiment run --to adapter").well();
    place
        .attune("export --experiment run --to merged --format merged")
        .well();
    let loss = |weights: &str| {
        let line = format!("evaluate {weights} --data orders --loss-only --json");
        place.attune(&line).well().json()["loss"].as_f64().unwrap()
    };
    let (base, tuned) = (loss("--model model"), loss("--experiment run"));
    assert!(
        tuned < base - 0.1,
        "tuning changed nothing: {base} → {tuned}"
    );
    assert!((loss("--model model --adapter adapter") - tuned).abs() < 1e-6);
    assert!((loss("--model merged") - tuned).abs() < 1e-4);
}

/// Lines on stdin are questions, and the conversation remembers: the second prompt is longer.
#[test]
fn a_chat_reads_its_questions_line_by_line() {
    let place = Place::new();
    let arguments = [
        "chat",
        "--model",
        "model",
        "--max-new-tokens",
        "2",
        "--system",
        "Be short.",
        "--json",
    ];
    let mut child = place
        .command(&arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"hi\n\nhi again\n/new\nhi\n")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let prompts: Vec<u64> = lines
        .filter(|line| line["type"] == "result")
        .map(|line| line["result"]["prompt_tokens"].as_u64().unwrap())
        .collect();
    assert_eq!(prompts.len(), 3);
    assert!(
        prompts[1] > prompts[0] && prompts[2] == prompts[0],
        "{prompts:?}"
    );
}

/// What a machine has differs; that each thing is said does not.
#[test]
fn doctor() {
    let place = Place::new();
    let said = place.attune("doctor").well().stdout;
    for label in [
        "Attune",
        "Platform",
        "Processor",
        "Computes on",
        "Memory",
        "Disk",
        "Home",
        "Model cache",
        "Devices:",
        "Checked with",
    ] {
        assert!(
            said.lines().any(|line| line.starts_with(label)),
            "{label} is missing in {said}"
        );
    }
    let report = place.attune("doctor --json").well().json();
    assert!(["arm64", "x86_64"].contains(&report["platform"]["architecture"].as_str().unwrap()));
    assert!(["cuda", "metal", "cpu"].contains(&report["gpu_backend"]["kind"].as_str().unwrap()));
    assert!(!report["gpu_backend"]["reason"].as_str().unwrap().is_empty());
    assert_eq!(report["gpu_backend"]["chosen_by"], "detection");
    for check in report["checks"].as_array().unwrap() {
        assert_eq!(check["result"]["agrees"], true, "{check}");
    }
    assert!(
        !place.path("home").exists(),
        "looking at the machine writes nothing"
    );
}

#[test]
fn settings() {
    let place = Place::new();
    show(&place, "settings one", "settings lora_r");
    show(&place, "settings unknown", "settings lora_rank");
    let said = place.attune("settings").well().stdout;
    let listed = place.attune("settings --json").well().json();
    for setting in listed.as_array().unwrap() {
        assert!(said.contains(setting["key"].as_str().unwrap()), "{setting}");
    }
    assert_eq!(
        place.attune("settings epochs --json").well().json()["key"],
        "epochs"
    );
}

#[test]
fn help() {
    let place = Place::new();
    for (name, line) in [
        ("help", "--help"),
        ("help train", "train --help"),
        ("help evaluate", "evaluate --help"),
    ] {
        show(&place, name, line);
    }
}

/// `--home` wins over ATTUNE_HOME.
#[test]
fn home() {
    let place = Place::new();
    place.write("orders.jsonl", orders(2));
    place
        .attune("--home elsewhere data import orders.jsonl")
        .well();
    assert!(place.path("elsewhere/datasets/orders").is_dir() && !place.path("home").exists());
    assert_eq!(
        fs::read_dir(place.path("elsewhere/datasets"))
            .unwrap()
            .count(),
        1,
        "nothing temporary stays"
    );
}

/// Long work of every kind is listed, and can be ended from elsewhere.
#[test]
fn jobs() {
    let place = Place::with_orders();
    show(&place, "jobs list nothing", "jobs list");
    let run = place.start(&train(2_000));
    let working = loop {
        let jobs = place.attune("jobs list --json").well().json();
        if jobs[0]["state"] == "running" {
            break jobs[0].clone();
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    assert_eq!(
        (&working["kind"], &working["subject"]),
        (&"train".into(), &"run".into())
    );
    let number = working["id"].as_i64().unwrap();
    let asked = place.attune(&format!("jobs cancel {number}")).well();
    assert_eq!(asked.stdout, format!("Job {number} is cancelled.\n"));
    run.end();
    assert_eq!(place.state("run").as_deref(), Some("paused"));
    place.attune("export --experiment run --to out").well();
    place
        .attune("evaluate --model model --data orders.jsonl --loss-only")
        .well();
    let ended = place.attune("jobs list --ended 9 --json").well().json();
    let kinds: Vec<&str> = ended
        .as_array()
        .unwrap()
        .iter()
        .map(|job| job["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["evaluate", "export", "train", "import"]);
    show(
        &place,
        "jobs cancel ended",
        &format!("jobs cancel {number}"),
    );
}

/// Everything else the program can do is reached by name; what destroys still asks, and a secret
/// is not taken from where others can read it.
#[test]
fn call() {
    let place = Place::with_orders();
    let load = place.attune("call system_load").well().json();
    assert!(load["memory_total"].as_u64() > Some(0));
    show(&place, "call unknown", "call frobnicate");
    show(
        &place,
        "call wrong arguments",
        "call experiments_log {\"experiment\":1}",
    );
    show(
        &place,
        "call with a secret",
        "call keys_set {\"name\":\"huggingface\",\"value\":\"x\"}",
    );
    show(
        &place,
        "call that removes",
        "call data_remove {\"dataset\":\"orders\"}",
    );
    place
        .attune("call data_remove {\"dataset\":\"orders\"} --yes")
        .well();
}

/// What a run would take, what a model would learn, and how its answers changed, in words.
#[test]
fn looking_before_and_after() {
    let place = Place::with_orders();
    let preview = place
        .attune("data preview orders --model model --first 2")
        .well();
    assert!(preview.stdout.contains('‹'), "{preview:#?}");
    let estimate = place
        .attune(&(train(4).replacen("train", "estimate", 1)))
        .well();
    assert!(estimate.stdout.contains("usable: fits"), "{estimate:#?}");
    place
        .attune(&(train(4) + " --set validation_size=0.2 --set max_length_inference=3"))
        .well();
    let samples = place.attune("experiments samples run").well();
    assert!(samples.stdout.contains("Step 0"), "{samples:#?}");
    let log = place.attune("experiments log run").well();
    assert!(log.stdout.contains("Finished after 4 steps"), "{log:#?}");
    place.attune("experiments rename run Breakfast").well();
    let listed = place.attune("experiments list --json").well().json();
    assert_eq!(listed[0]["name"], "Breakfast");
}
