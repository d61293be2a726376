//! A place to run `attune` in: a home of its own, a model made on the spot, files of data.
#![allow(
    dead_code,
    reason = "two test binaries share this file, and each uses a part of it"
)]

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use attune_engine::{DType, Decoder, Device, ModelSpec};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// A folder with `home/`, `model/` and whatever a test writes into it; `attune` runs inside it.
pub struct Place {
    _folder: TempDir,
    root: PathBuf,
}

/// What a process did.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Only the end of what was said: a run says a line for every step.
impl fmt::Debug for Ran {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |text: &str| {
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(12)..].join("\n")
        };
        write!(
            formatter,
            "exit code {:?}\n{}\n{}",
            self.code,
            end(&self.stdout),
            end(&self.stderr)
        )
    }
}

impl Ran {
    /// The one document on stdout.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {self:#?}"))
    }

    /// The documents on stdout, one a line.
    pub fn lines(&self) -> Vec<Value> {
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"))
        };
        self.stdout.lines().map(parse).collect()
    }

    /// Fails unless the command did well.
    #[track_caller]
    pub fn well(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // As the program will print it: a temporary folder may lie behind a link.
        let root = folder.path().canonicalize().unwrap();
        let place = Self {
            _folder: folder,
            root,
        };
        copy_folder(model(), &place.path("model"));
        place
    }

    /// With the dataset `orders` in the library.
    pub fn with_orders() -> Self {
        Self::with_rows(24)
    }

    /// The same with rows enough for thousands of steps: a run of them never ends before a test has
    /// done what it wants to do to it.
    pub fn with_many_orders() -> Self {
        Self::with_rows(200)
    }

    fn with_rows(rows: usize) -> Self {
        let place = Self::new();
        place.write("orders.jsonl", orders(rows));
        place.attune("data import orders.jsonl").well();
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Runs `attune` with words that have no spaces in them.
    pub fn attune(&self, line: &str) -> Ran {
        self.run(&line.split_whitespace().collect::<Vec<_>>())
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).output().unwrap();
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Everything a person saw, with plain spaces and without this place's path.
    pub fn seen(&self, ran: &Ran) -> String {
        let mut seen = format!(
            "exit code {}\n",
            ran.code.map_or("none".to_owned(), |code| code.to_string())
        );
        for (name, text) in [("stdout", &ran.stdout), ("stderr", &ran.stderr)] {
            if !text.is_empty() {
                seen += &format!("---- {name}\n{text}");
            }
        }
        seen.replace(&self.root.display().to_string(), "[place]")
            .replace('\u{202f}', " ")
    }

    /// A command that sees this place and nothing of the machine's.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_attune"));
        command
            .args(arguments)
            .current_dir(&self.root)
            .env("ATTUNE_HOME", self.path("home"))
            .env("HF_HOME", self.path("cache"))
            .env_remove("HF_HUB_CACHE")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null());
        command
    }

    /// Starts a command in the background; it writes JSON lines.
    pub fn start(&self, line: &str) -> Running {
        let mut arguments: Vec<&str> = line.split_whitespace().collect();
        arguments.push("--json");
        let mut child = self
            .command(&arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Running { child, lines }
    }

    /// Every file of the home folder with the hash of its content, and what the library lists: the
    /// database's own files change without a change of what they hold.
    pub fn contents(&self) -> BTreeMap<String, String> {
        let home = self.path("home");
        let mut found = BTreeMap::new();
        walk(&home, &mut |path| {
            let name = path.strip_prefix(&home).unwrap().display().to_string();
            if !name.starts_with("attune.db") {
                found.insert(name, hash(path));
            }
        });
        for list in ["data list", "models list", "experiments list"] {
            found.insert(
                list.to_owned(),
                self.attune(&format!("{list} --json")).stdout,
            );
        }
        found
    }

    /// The experiments by id, with their states.
    pub fn states(&self) -> BTreeMap<String, String> {
        let listed = self.attune("experiments list --json").well().json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        listed
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (text(&one["id"]), text(&one["state"])))
            .collect()
    }

    pub fn state(&self, experiment: &str) -> Option<String> {
        self.states().remove(experiment)
    }

    /// Hash of the adapter in the newest checkpoint of an experiment.
    pub fn adapter(&self, experiment: &str) -> String {
        let report = self
            .attune(&format!("experiments show {experiment} --json"))
            .well()
            .json();
        let folder = Path::new(report["last_checkpoint"].as_str().unwrap()).to_owned();
        hash(&folder.join("adapter_model.safetensors"))
    }
}

/// A command at work.
pub struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    /// The next line; nothing when the command has ended.
    pub fn line(&mut self) -> Option<Value> {
        let mut line = String::new();
        let read = self.lines.read_line(&mut line).unwrap();
        (read > 0).then(|| serde_json::from_str(&line).unwrap())
    }

    /// Follows the command until it reports this kind of thing.
    #[track_caller]
    pub fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self
                .line()
                .expect("the command ended before it reported that");
            if wanted(&line) {
                return line;
            }
        }
    }

    /// Follows a training until this step is done.
    #[track_caller]
    pub fn until_step(&mut self, step: u64) {
        self.until(|line| {
            line["event"]["event"] == "step" && line["event"]["step"].as_u64() >= Some(step)
        });
    }

    pub fn signal(&self, signal: Signal) {
        kill(
            Pid::from_raw(i32::try_from(self.child.id()).unwrap()),
            signal,
        )
        .unwrap();
    }

    /// Waits for the end.
    pub fn end(mut self) -> Ran {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        while self.lines.read_line(&mut stdout).unwrap() > 0 {}
        let mut said = self.child.stderr.take().unwrap();
        said.read_to_string(&mut stderr).unwrap();
        Ran {
            code: self.child.wait().unwrap().code(),
            stdout,
            stderr,
        }
    }
}

/// A test that fails must not leave a training behind that slows down all that follow.
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Words of a training that ends after `steps` steps, and computes the same whenever it runs.
pub fn train(steps: u64) -> String {
    format!(
        "train --model model --dataset orders --name run --set seed=7 --set max_steps={steps} --set epochs=50 \
         --set max_length=64 --set validation_size=0.1 --set evaluation_epochs=0 --set lora_r=2 \
         --set checkpoint_steps=5 --set learning_rate=0.01"
    )
}

/// Rows of a small task.
pub fn orders(rows: usize) -> String {
    let things = ["tea", "coffee", "cake", "soup"];
    (0..rows)
        .map(|row| {
            let (count, thing) = (row % 9 + 1, things[row % things.len()]);
            let answer = json!({ thing: count }).to_string();
            format!(
                "{}\n",
                json!({ "prompt": format!("{count} {thing}, order {row}"), "answer": answer })
            )
        })
        .collect()
}

/// The model every place is given a copy of: Llama's architecture, random weights.
fn model() -> &'static Path {
    static MODEL: OnceLock<TempDir> = OnceLock::new();
    MODEL.get_or_init(make_model).path()
}

fn make_model() -> TempDir {
    let base = tempfile::tempdir().unwrap();
    let write =
        |name: &str, value: &Value| fs::write(base.path().join(name), value.to_string()).unwrap();
    write("tokenizer.json", &tokenizer());
    write(
        "tokenizer_config.json",
        &json!({ "eos_token": END, "chat_template": TEMPLATE }),
    );
    write(
        "config.json",
        &json!({
            "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_act": "silu",
            "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 2, "vocab_size": 258, "max_position_embeddings": 128,
            "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true, "eos_token_id": 257
        }),
    );
    let folder = tempfile::tempdir().unwrap();
    let spec = ModelSpec::from_folder(base.path()).unwrap();
    let decoder = Decoder::random(&spec, 3, &Device::Cpu).unwrap();
    decoder
        .save_folder(&folder.path().join("model"), DType::F32, Some(base.path()))
        .unwrap();
    copy_folder(&folder.path().join("model"), folder.path());
    fs::remove_dir_all(folder.path().join("model")).unwrap();
    folder
}

const START: &str = "<|start|>";
const END: &str = "<|end|>";
const TEMPLATE: &str = "{% for message in messages %}<|start|>{{ message.role }}: {{ message.content }}<|end|>\
                        {% endfor %}{% if add_generation_prompt %}<|start|>assistant: {% endif %}";

/// One token per byte, as in GPT-2, and two that mark turns.
fn tokenizer() -> Value {
    let vocabulary: Map<String, Value> = (0..=255)
        .map(|byte| (letter(byte).to_string(), json!(byte)))
        .collect();
    let added: Vec<Value> = [START, END]
        .iter()
        .zip(256..)
        .map(|(text, id)| {
            json!({ "id": id, "content": text, "special": true, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false })
        })
        .collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "added_tokens": added,
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true },
        "post_processor": null,
        "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
        "model": { "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocabulary, "merges": [] },
    })
}

/// The printable letter that stands for a byte.
fn letter(byte: u32) -> char {
    let printable = |byte: &u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let code = if printable(&byte) {
        byte
    } else {
        256 + (0..byte).filter(|other| !printable(other)).count() as u32
    };
    char::from_u32(code).unwrap()
}

pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        if entry.path().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

fn walk(folder: &Path, visit: &mut dyn FnMut(&Path)) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            walk(&path, visit);
        } else {
            visit(&path);
        }
    }
}

fn hash(path: &Path) -> String {
    Sha256::digest(fs::read(path).unwrap())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
