#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::{Duration, UNIX_EPOCH};

use super::{ChatTemplate, TemplateOrigin};
use crate::{Error, Role, Turn};

const QWEN3: &str = include_str!("examples/qwen3.jinja");
const LLAMA3: &str = include_str!("examples/llama3.jinja");
const MISTRAL: &str = include_str!("examples/mistral.jinja");
const ZEPHYR: &str = include_str!("examples/zephyr.jinja");
const GEMMA: &str = include_str!("examples/gemma.jinja");

fn template(source: &str) -> ChatTemplate {
    ChatTemplate::new(source, TemplateOrigin::Model, "<s>", "</s>").unwrap()
}

fn turns(turns: &[(Role, &str)]) -> Vec<Turn> {
    turns
        .iter()
        .map(|(role, content)| Turn::new(*role, *content))
        .collect()
}

fn chat() -> Vec<Turn> {
    turns(&[
        (Role::System, "Be brief."),
        (Role::User, "Hi"),
        (Role::Assistant, " Hello "),
        (Role::User, "Bye"),
    ])
}

/// The expected text is what transformers prints for these templates, its whitespace rules included.
#[test]
fn llama_3_prints_the_date_and_trims() {
    let mut template = template(LLAMA3);
    template.set_time(UNIX_EPOCH + Duration::from_secs(1_709_210_096));
    assert_eq!(
        template.render(&chat(), true).unwrap(),
        "<s><|start_header_id|>system<|end_header_id|>\n\nToday Date: 29 Feb 2024\n\nBe brief.<|eot_id|>\
         <|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>\
         <|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|>\
         <|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>\
         <|start_header_id|>assistant<|end_header_id|>\n\n"
    );
}

#[test]
fn mistral_puts_the_system_message_before_the_last_question() {
    let text = template(MISTRAL).render(&chat(), true).unwrap();
    assert_eq!(
        text,
        "<s>[INST] Hi[/INST] Hello</s>[INST] Be brief.\n\nBye[/INST]"
    );
}

#[test]
fn qwen_3_drops_earlier_thoughts() {
    let thoughtful = turns(&[
        (Role::User, "a"),
        (Role::Assistant, "<think>\nhm\n</think>\n\nb"),
        (Role::User, "c"),
        (Role::Assistant, "<think>\nso\n</think>\n\nd"),
    ]);
    assert_eq!(
        template(QWEN3).render(&thoughtful, false).unwrap(),
        "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n<|im_start|>user\nc<|im_end|>\n\
         <|im_start|>assistant\n<think>\nso\n</think>\n\nd<|im_end|>\n"
    );
}

/// Without trim_blocks and lstrip_blocks this template prints empty lines.
#[test]
fn zephyr_keeps_no_line_of_its_own_tags() {
    assert_eq!(
        template(ZEPHYR).render(&chat(), true).unwrap(),
        "<|system|>\nBe brief.</s>\n<|user|>\nHi</s>\n<|assistant|>\n Hello </s>\n<|user|>\nBye</s>\n<|assistant|>\n"
    );
}

#[test]
fn a_model_without_a_template_gets_chat_ml() {
    let template = ChatTemplate::chat_ml("", "<|im_end|>").unwrap();
    assert_eq!(template.origin(), TemplateOrigin::ChatMl);
    assert_eq!(
        template.render(&chat()[..2], true).unwrap(),
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    );
}

#[test]
fn a_template_that_refuses_a_system_turn_is_told_apart() {
    let error = template(GEMMA).render(&chat(), true).unwrap_err();
    assert!(
        matches!(&error, Error::SystemRefused { reason } if reason == "System role not supported"),
        "{error:?}"
    );
    assert!(error.remedy().unwrap().contains("system column"));

    let twice = turns(&[(Role::User, "a"), (Role::User, "b")]);
    let error = template(GEMMA).render(&twice, true).unwrap_err();
    assert!(
        matches!(&error, Error::TemplateRefused { reason } if reason.starts_with("Conversation roles"))
    );
}

/// `json.dumps(…, ensure_ascii=False)` printed the expected texts.
#[test]
fn tojson_prints_what_python_prints() {
    let render = |source: &str| template(source).render(&[], false).unwrap();
    let value = "{'a': [1, 2.5, true, none], 'é<&>\\'': 'x\\ny', 'empty': [[], {}]}";
    assert_eq!(
        render(&format!("{{{{ {value}|tojson }}}}")),
        r#"{"a": [1, 2.5, true, null], "é<&>'": "x\ny", "empty": [[], {}]}"#
    );
    assert_eq!(
        render("{{ {'b': [1, {'c': 2}], 'a': {}}|tojson(indent=2) }}"),
        "{\n  \"b\": [\n    1,\n    {\n      \"c\": 2\n    }\n  ],\n  \"a\": {}\n}"
    );
    assert_eq!(
        render("{{ {'b': 1, 'a': 2}|tojson(separators=(',', ':'), sort_keys=true) }}"),
        r#"{"a":2,"b":1}"#
    );
    assert_eq!(
        render("{{ [1]|tojson(indent=none, ensure_ascii=false) }}"),
        "[1]"
    );
}

#[test]
fn the_extensions_of_transformers_are_known() {
    let source = "{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}\
        {% generation %}{{ m.content.strip().upper() }}{% endgeneration %}{% endfor %}";
    assert_eq!(
        template(source).render(&chat(), false).unwrap(),
        "BE BRIEF."
    );
}

#[test]
fn a_template_cannot_run_or_write_without_end() {
    let runs = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}";
    let writes = "{% for a in range(9999) %}{{ 'x' * 9999 }}{% endfor %}";
    let pads = "{{ 'a\nb'|indent(1000000000) }}";
    for source in [runs, writes] {
        let error = template(source).render(&[], false).unwrap_err();
        assert!(matches!(error, Error::TemplateRunaway { .. }), "{error:?}");
    }
    assert!(matches!(
        template(pads).render(&[], false),
        Err(Error::Template { .. })
    ));
}

#[test]
fn a_broken_template_says_where() {
    let error = ChatTemplate::new("{% for %}", TemplateOrigin::Model, "", "").unwrap_err();
    assert!(
        error.to_string().contains("line 1") || error.to_string().contains(":1"),
        "{error}"
    );
}

/// Content is data: Jinja inside it is printed, not run, and nothing is escaped for HTML.
#[test]
fn content_is_never_run() {
    let turns = turns(&[(Role::User, "{{ 1 + 1 }} <b> & {% raw %}")]);
    assert!(
        ChatTemplate::chat_ml("", "")
            .unwrap()
            .render(&turns, false)
            .unwrap()
            .contains("{{ 1 + 1 }} <b> & {% raw %}")
    );
}

/// minijinja 3.0.5 panics on some of these; what a template does to it stays an error of the template.
#[test]
fn what_breaks_the_template_engine_is_an_error() {
    for source in [
        "{% for m in nothing[1:][::-1] %}{{ m }}{% endfor %}",
        "{% for m in [][::-1] %}{{ m }}{% endfor %}",
        "{{ ()[::-1] }}",
        "{{ messages[9:][::-1] | list }}",
    ] {
        match template(source).render(&chat(), true) {
            Ok(_) | Err(Error::Template { .. } | Error::TemplateRefused { .. }) => {}
            Err(other) => panic!("{source}: {other}"),
        }
    }
}
