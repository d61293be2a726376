//! Metadata that the recorded files do not have: what is refused, and by what name.
#![expect(clippy::unwrap_used, reason = "tests")]

use crate::{Error, Family, ModelSpec, RopeScaling};
use attune_data::Gguf;
use std::path::Path;

/// A value of a file under construction.
enum Value<'a> {
    Count(u32),
    Number(f32),
    Text(&'a str),
    Flag(bool),
    Flags(&'a [u8]),
    Counts(&'a [u32]),
}
use Value::{Count, Counts, Flag, Flags, Number, Text};

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

fn value(value: &Value<'_>) -> Vec<u8> {
    let tagged = |kind: u32, rest: &[u8]| [&kind.to_le_bytes(), rest].concat();
    let list = |kind: u32, count: usize, rest: &[u8]| {
        let head = [&kind.to_le_bytes()[..], &(count as u64).to_le_bytes()].concat();
        tagged(9, &[&head, rest].concat())
    };
    match value {
        Count(count) => tagged(4, &count.to_le_bytes()),
        Number(number) => tagged(6, &number.to_le_bytes()),
        Text(words) => tagged(8, &text(words)),
        Flag(flag) => tagged(7, &[u8::from(*flag)]),
        Flags(flags) => list(7, flags.len(), flags),
        Counts(counts) => {
            let bytes: Vec<u8> = counts
                .iter()
                .flat_map(|count| count.to_le_bytes())
                .collect();
            list(4, counts.len(), &bytes)
        }
    }
}

/// What the metadata of a model of two heads and so many blocks mean, with `more` put last. Each
/// tensor is a list of f32.
fn read(
    architecture: &str,
    blocks: u32,
    more: &[(&str, Value<'_>)],
    tensors: &[(&str, &[f32])],
) -> Result<ModelSpec, Error> {
    let of = |name: &str| format!("{architecture}.{name}");
    let mut entries = vec![
        (
            "general.architecture".to_owned(),
            value(&Text(architecture)),
        ),
        (of("embedding_length"), value(&Count(8))),
        (of("block_count"), value(&Count(blocks))),
        (of("feed_forward_length"), value(&Count(16))),
        (of("attention.head_count"), value(&Count(2))),
        (of("context_length"), value(&Count(64))),
    ];
    for (name, more) in more {
        let name = match name.strip_prefix('.') {
            Some(name) => of(name),
            None => (*name).to_owned(),
        };
        entries.retain(|(other, _)| *other != name);
        entries.push((name, value(more)));
    }
    let table = [0.0_f32; 24];
    let mut infos = Vec::new();
    let mut data: Vec<u8> = Vec::new();
    let all = [("token_embd.weight", &table[..])];
    for (name, numbers) in all.iter().chain(tensors) {
        infos.extend(text(name));
        let matrix = *name == "token_embd.weight";
        let shape: &[u64] = if matrix {
            &[8, 3]
        } else {
            &[numbers.len() as u64]
        };
        infos.extend((shape.len() as u32).to_le_bytes());
        shape
            .iter()
            .for_each(|size| infos.extend(size.to_le_bytes()));
        infos.extend(0_u32.to_le_bytes());
        infos.extend((data.len() as u64).to_le_bytes());
        data.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        data.resize(data.len().next_multiple_of(32), 0);
    }
    let mut bytes = [&b"GGUF"[..], &3_u32.to_le_bytes()].concat();
    bytes.extend((1 + tensors.len() as u64).to_le_bytes());
    bytes.extend((entries.len() as u64).to_le_bytes());
    for (name, value) in entries {
        bytes.extend(text(&name));
        bytes.extend(value);
    }
    bytes.extend(infos);
    bytes.resize(bytes.len().next_multiple_of(32), 0);
    bytes.extend(data);
    ModelSpec::from_gguf(&Gguf::from_bytes(Path::new("model.gguf"), bytes)?)
}

#[test]
fn what_is_not_computed_is_refused_by_name() {
    let split = ("split.count", Count(3));
    let adapter = ("general.type", Text("adapter"));
    let experts = || Some((".expert_count", Count(8)));
    let causal = (".attention.causal", Flag(false));
    let scaled = (".rope.scaling.type", Text("dynamic"));
    let values = (".attention.value_length", Count(2));
    let uneven = (".feed_forward_length", Counts(&[16, 32]));
    let olmo3 = (".attention.sliding_window", Count(8));
    for (architecture, more, reasons) in [
        (
            "qwen3vl",
            None,
            ["the architecture qwen3vl", "the nearest, qwen3)"],
        ),
        (
            "gemma3n",
            None,
            ["the architecture gemma3n", "the nearest, gemma3"],
        ),
        ("mamba", None, ["the architecture mamba", "llama, qwen2"]),
        (
            "llama",
            Some(split),
            ["one part of a model", "llama-gguf-split --merge"],
        ),
        (
            "llama",
            Some(adapter),
            ["not a model but `adapter`", "models"],
        ),
        (
            "qwen2moe",
            experts(),
            ["experts of the architecture qwen2moe", "nearest, qwen3moe"],
        ),
        (
            "deepseek2",
            experts(),
            ["experts of the architecture deepseek2", "Mixtral as llama"],
        ),
        (
            "nemotron_h_moe",
            Some((".expert_count", Counts(&[0, 128]))),
            ["experts of the architecture nemotron_h_moe", "qwen3moe"],
        ),
        (
            "gpt-oss",
            experts(),
            ["experts of the architecture gpt-oss", "nearest, qwen3moe"],
        ),
        (
            "granite",
            experts(),
            ["experts of the architecture granite", "nearest, qwen3moe"],
        ),
        ("qwen3", Some(causal), ["not causal", "causal models"]),
        (
            "llama",
            Some(scaled),
            ["rope scaling of type dynamic", "linear, yarn, longrope"],
        ),
        (
            "llama",
            Some(values),
            ["another width than keys", "one width"],
        ),
        (
            "llama",
            Some(uneven),
            ["differ in `llama.feed_forward_length`", "one size"],
        ),
        ("olmo2", Some(olmo3), ["OLMo 3's windows", "OLMo 2"]),
    ] {
        let more: Vec<_> = more.into_iter().collect();
        let error = read(architecture, 2, &more, &[]).unwrap_err();
        assert_eq!(error.code(), "gguf-unsupported", "{error}");
        for reason in reasons {
            let text = error.to_string();
            assert!(text.contains(reason), "{text:?} should say {reason:?}");
        }
        assert_eq!(error.place().as_deref(), Some("model.gguf"));
        assert!(error.remedy().is_some());
    }
}

/// Numbers that would cost memory before a tensor is looked at, and numbers that are none.
#[test]
fn sizes_that_cannot_be_are_refused() {
    for (name, number, reason) in [
        (".block_count", 4_000_000_000, "it names 4000000000 blocks"),
        (".attention.head_count", 100_000, "100000 heads"),
        (".attention.head_count", 0, "is 0, not a size"),
        (".attention.head_count_kv", 3, "do not fit together"),
        (".attention.key_length", 3, "do not fit together"),
    ] {
        let error = read("llama", 2, &[(name, Count(number))], &[]).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
    let error = read("llama", 2, &[(".block_count", Text("two"))], &[]).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("`llama.block_count` is a text, a whole number is expected"),
        "{text}"
    );
    let windows = |spec: ModelSpec| {
        spec.layers
            .iter()
            .filter(|layer| layer.window.is_some())
            .count()
    };
    let same = (".attention.head_count_kv", Counts(&[1, 1]));
    assert_eq!(
        read("llama", 2, &[same], &[]).unwrap().num_key_value_heads,
        1
    );
    let window = || (".attention.sliding_window", Count(4));
    let mistral = read("llama", 2, &[window()], &[]).unwrap();
    assert_eq!((mistral.family, windows(mistral)), (Family::Mistral, 2));
    assert_eq!(
        windows(read("phi3", 2, &[(".attention.sliding_window", Count(0))], &[]).unwrap()),
        0
    );
    assert_eq!(windows(read("gemma2", 5, &[window()], &[]).unwrap()), 3);
    assert_eq!(windows(read("gemma3", 12, &[window()], &[]).unwrap()), 10);
    let every = (".attention.sliding_window_pattern", Count(3));
    assert_eq!(
        windows(read("gemma3", 6, &[window(), every], &[]).unwrap()),
        4
    );
    let marks = (".attention.sliding_window_pattern", Flags(&[0, 1]));
    let spec = read("gemma3", 2, &[window(), marks], &[]).unwrap();
    assert_eq!(
        spec.layers
            .iter()
            .map(|layer| layer.rope)
            .collect::<Vec<_>>(),
        [Some(0), Some(1)]
    );
    // The scale of scores that llama.cpp knows by the number of blocks.
    assert_eq!(
        read("gemma2", 26, &[(".attention.key_length", Count(16))], &[])
            .unwrap()
            .attention_scale,
        0.25
    );
    assert_eq!(
        read("gemma2", 46, &[(".attention.key_length", Count(16))], &[])
            .unwrap()
            .attention_scale,
        0.5
    );
}

/// How many experts there are, how wide, and what a router may be.
#[test]
fn experts_are_what_the_metadata_say() {
    let with = |architecture: &str, last: (&'static str, Value<'static>)| {
        let more = [
            (".expert_count", Count(6)),
            (".expert_used_count", Count(2)),
            (".expert_feed_forward_length", Count(12)),
            last,
        ];
        read(architecture, 2, &more, &[])
    };
    let plain = || (".rope.freq_base", Number(1e4));
    for (architecture, family, width) in [
        ("qwen3moe", Family::Qwen3Moe, 12),
        ("llama", Family::Mixtral, 16),
    ] {
        let spec = with(architecture, plain()).unwrap();
        assert_eq!(spec.family, family);
        let experts = spec.experts.unwrap();
        assert_eq!(
            (experts.count, experts.per_token, experts.intermediate_size),
            (6, 2, width)
        );
        assert!(experts.normalised);
        assert_eq!(experts.layers, [true, true]);
        let window = with(architecture, (".attention.sliding_window", Count(4)));
        let windows = window.unwrap().layers.into_iter().map(|layer| layer.window);
        let expected = (family == Family::Mixtral).then_some(4);
        assert_eq!(windows.collect::<Vec<_>>(), [expected, expected]);
        // None is a dense model, where there is one.
        let none = with(architecture, (".expert_count", Count(0)));
        assert_eq!(
            none.is_ok_and(|spec| spec.experts.is_none()),
            architecture == "llama"
        );
        for (last, code, reason) in [
            (
                (".expert_used_count", Count(7)),
                "gguf-broken",
                "expert_used_count` is 7, and there are 6 experts",
            ),
            (
                (".expert_used_count", Count(0)),
                "gguf-broken",
                "expert_used_count` is 0, not a size",
            ),
            (
                (".expert_count", Count(2000)),
                "gguf-broken",
                "it names 2000 experts in each of 2 blocks",
            ),
            (
                (".expert_gating_func", Count(2)),
                "gguf-unsupported",
                "a router that is no softmax",
            ),
            (
                (".expert_group_count", Count(2)),
                "gguf-unsupported",
                "experts in groups",
            ),
            (
                (".expert_weights_norm", Flag(false)),
                "gguf-unsupported",
                "experts whose weights do not sum to one",
            ),
        ] {
            let error = with(architecture, last).unwrap_err();
            assert_eq!(error.code(), code, "{error}");
            assert!(error.to_string().contains(reason), "{error}");
        }
    }
    let known = (".expert_gating_func", Count(1));
    assert!(with("llama", known).is_ok());
    let many = [
        (".expert_count", Count(1000)),
        (".expert_used_count", Count(2)),
    ];
    let error = read("llama", 1000, &many, &[]).unwrap_err();
    let reason = "it names 1000 experts in each of 1000 blocks";
    assert!(error.to_string().contains(reason), "{error}");
    let missing = read("qwen3moe", 2, &many, &[]).unwrap_err();
    let reason = "it names no `qwen3moe.expert_feed_forward_length`";
    assert!(missing.to_string().contains(reason), "{missing}");
}

/// The divisors of Llama 3.1 and 3.2 are recognised, so that what is exported says `llama3`.
#[test]
fn rotary_divisors_are_llama_3s_where_they_can_be() {
    let heads = || (".attention.key_length", Count(16));
    let theta = || (".rope.freq_base", Number(500_000.0));
    let published: Vec<f32> = (0..8)
        .map(|pair| {
            let wavelength = std::f32::consts::TAU * 500_000_f32.powf(pair as f32 / 8.0);
            match 8192.0 / wavelength {
                turns if turns > 4.0 => 1.0,
                turns if turns < 1.0 => 32.0,
                turns => {
                    let smooth = (turns - 1.0) / 3.0;
                    1.0 / ((1.0 - smooth) / 32.0 + smooth)
                }
            }
        })
        .collect();
    let scaling = |divisors: &[f32]| {
        let tensors = [("rope_freqs.weight", divisors)];
        let spec = read("llama", 2, &[heads(), theta()], &tensors).unwrap();
        spec.ropes[0].scaling.clone()
    };
    assert_eq!(
        scaling(&published),
        Some(RopeScaling::Llama3 {
            factor: 32.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192.0,
        })
    );
    assert_eq!(scaling(&[1.0; 8]), None);
    let others = [1.0, 1.0, 1.1, 2.0, 4.0, 4.0, 4.0, 4.0];
    match scaling(&others) {
        Some(RopeScaling::LongRope {
            short_factor,
            attention_factor,
            ..
        }) => {
            assert_eq!(
                short_factor,
                others.map(|divisor: f32| divisor.to_string().parse::<f64>().unwrap())
            );
            assert_eq!(attention_factor, 1.0);
        }
        other => panic!("{other:?}"),
    }
    let short = read("llama", 2, &[heads()], &[("rope_freqs.weight", &[2.0])]).unwrap_err();
    assert!(
        short.to_string().contains("no list of 8 numbers"),
        "{short}"
    );
}
