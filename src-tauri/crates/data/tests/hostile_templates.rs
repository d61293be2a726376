//! Chat templates that build what no memory, stack or patience could hold. A process of its own,
//! so that what it holds at most is what they took.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::print_stderr, reason = "the figures are worth reading")]

use std::alloc::System;
use std::time::{Duration, Instant};

use attune_data::{Budgeted, ChatTemplate, Error, Role, TemplateOrigin, Turn};
use nix::sys::resource::{UsageWho, getrusage};

/// As the programs have it.
#[global_allocator]
static ALLOCATOR: Budgeted<System> = Budgeted(System);

/// What one template may leave behind: 32 MiB, and the stack on which it went down into them.
const LEFT: usize = 128 << 20;

/// Templates, and what the error says of each.
fn hostile() -> Vec<(String, &'static str)> {
    let doubled = |first: &str, twice: &str, use_it: &str| {
        format!(
            "{{% set ns = namespace(v={first}) %}}{{% for i in range(60) %}}{{% set ns.v = {twice} %}}{{% endfor %}}\
             {use_it}"
        )
    };
    let nested = |first: &str, level: &str, use_it: &str| {
        format!(
            "{{% set ns = namespace(v={first}, w={first}) %}}{{% for i in range(60000) %}}\
             {{% set ns.v = {level} %}}{{% endfor %}}{use_it}"
        )
    };
    let memory = "asked for more than 32 MB";
    let mut all = vec![
        // One step, while it is compiled and while it runs.
        ("{{ (1,) * 99999999 }}".to_owned(), memory),
        (
            "{% set n = 99999999 %}{{ ((1,) * n)|length }}".to_owned(),
            memory,
        ),
        ("{{ (messages * 49999999)|list|length }}".to_owned(), memory),
        ("{{ ('x' * 99999999)|length }}".to_owned(), memory),
        (
            "{{ (range(99999) | list * 999)|list|length }}".to_owned(),
            memory,
        ),
        (
            "{{ ([messages[0].content * 999] * 9999999)|join|length }}".to_owned(),
            memory,
        ),
        (
            "{{ ('a\n' * 999999)|indent(64)|length }}".to_owned(),
            memory,
        ),
        (
            "{{ ('x' * 9999)|replace('x', 'y' * 9999)|length }}".to_owned(),
            memory,
        ),
        ("{{ '%999999999d'|format(1)|length }}".to_owned(), memory),
        // Twice as much with every step.
        (doubled("'x'", "ns.v ~ ns.v", "{{ ns.v|length }}"), memory),
        (doubled("'x'", "ns.v + ns.v", "{{ ns.v|length }}"), memory),
        (doubled("(1,)", "ns.v + ns.v", "{{ ns.v|length }}"), memory),
        (doubled("[1]", "[ns.v, ns.v]", "{{ ns.v }}"), ""),
        (
            doubled("[1]", "[ns.v, ns.v]", "{{ ns.v|string|length }}"),
            memory,
        ),
        (
            doubled("[1]", "[ns.v, ns.v]", "{{ ns.v|tojson|length }}"),
            memory,
        ),
        (
            doubled("[1]", "[ns.v, ns.v]", "{{ (ns.v ~ '')|length }}"),
            memory,
        ),
        (
            doubled("{}", "{'a': ns.v, 'b': ns.v}", "{{ ns.v|tojson|length }}"),
            memory,
        ),
        // Deeper than a stack of the usual size, and not too large for the budget. They may pass.
        (nested("[]", "[ns.v]", ""), ""),
        (nested("()", "(ns.v,)", "{{ ns.v }}"), ""),
        (nested("()", "(ns.v,)", "{{ ns.v|tojson|length }}"), ""),
        (
            nested(
                "()",
                "(ns.v,) %}{% set ns.w = (ns.w,)",
                "{{ ns.v == ns.w }}",
            ),
            "",
        ),
        (
            nested(
                "()",
                "(ns.v,) %}{% set ns.w = (ns.w,)",
                "{{ [ns.v, ns.w]|sort|length }}",
            ),
            "",
        ),
        (nested("[]", "[ns.v]", "{{ ns.v|string|length }}"), ""),
        (nested("{}", "{'a': ns.v}", "{{ ns.v }}"), ""),
        (
            nested("{}", "{'a': ns.v}", "{{ ns.v|tojson(indent=1)|length }}"),
            "",
        ),
        (nested("[]", "[ns.v]|batch(1)", "{{ ns.v }}"), ""),
        (
            nested("[]", "[[[[[[[[[[ns.v]]]]]]]]]]", "{{ ns.v }}"),
            memory,
        ),
    ];
    // Sources that are deep themselves.
    for link in [
        " + 1",
        "|string",
        ".a",
        "[0]",
        "()",
        " and x",
        " ~ x",
        " if x else x",
    ] {
        all.push((format!("{{{{ x{} }}}}", link.repeat(200_000)), ""));
    }
    all
}

fn peak() -> usize {
    let unit = if cfg!(target_vendor = "apple") {
        1
    } else {
        1 << 10
    };
    getrusage(UsageWho::RUSAGE_SELF).unwrap().max_rss() as usize * unit
}

fn template(source: &str) -> Result<ChatTemplate, Error> {
    let template = ChatTemplate::new(source, TemplateOrigin::Model, "<s>", "</s>")?;
    Ok(template.with_path("models/m/chat_template.jinja".into()))
}

/// Each is refused by name, with its file and a remedy; a second time at once; and whatever comes
/// after it is rendered.
#[test]
fn nothing_that_a_template_builds_harms_the_process() {
    let turns = [
        Turn::new(Role::User, "Hi"),
        Turn::new(Role::Assistant, "Ho"),
    ];
    let honest = ChatTemplate::chat_ml("", "<|im_end|>").unwrap();
    let expected = honest.render(&turns, true).unwrap();
    let mut unexpected = Vec::new();
    for (source, reason) in hostile() {
        let before = peak();
        let start = Instant::now();
        let found = template(&source).and_then(|template| template.render(&turns, true));
        let (taken, grown) = (start.elapsed(), peak() - before);
        let short: String = source.chars().take(150).collect();
        let said = found
            .as_ref()
            .map_or_else(ToString::to_string, |text| format!("{} bytes", text.len()));
        eprintln!("{grown:>10} B {taken:>10.1?} {short:?}: {said:.200}");
        if grown > LEFT {
            unexpected.push(format!("{short}: {grown} bytes"));
        }
        match &found {
            Err(error @ Error::TemplateRunaway { .. }) => {
                if !error.to_string().contains(reason) {
                    unexpected.push(format!("{short}: {error}"));
                }
                assert_eq!(
                    error.place().as_deref(),
                    Some("models/m/chat_template.jinja")
                );
                assert!(error.remedy().unwrap().contains("chat template"));
            }
            _ if reason.is_empty() => {}
            other => unexpected.push(format!("{short}: {other:?}")),
        }
        if said.contains(" MB") {
            let start = Instant::now();
            let again = template(&source).and_then(|template| template.render(&turns, true));
            assert_eq!(again.unwrap_err().to_string(), said);
            assert!(
                start.elapsed() < Duration::from_secs(1),
                "it was tried again"
            );
        }
        assert_eq!(honest.render(&turns, true).unwrap(), expected);
    }
    eprintln!("{} B at most", peak());
    assert!(unexpected.is_empty(), "{unexpected:#?}");
}
