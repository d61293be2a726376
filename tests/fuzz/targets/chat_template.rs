//! A chat template, compiled and rendered over a conversation.
#![no_main]

use attune_data::{ChatTemplate, Role, TemplateOrigin, Turn};
use libfuzzer_sys::fuzz_target;

// A library's panic that the reader turns into an error is none of ours; any other ends the process at
// this border, which no panic crosses.
fuzz_target!(init: std::panic::set_hook(Box::new(|_| ())), |source: &str| {
    let Ok(template) = ChatTemplate::new(source, TemplateOrigin::Model, "<s>", "</s>") else {
        return;
    };
    let turns = [
        Turn::new(Role::System, "Be brief."),
        Turn::new(Role::User, "Wer ist das? <|im_end|>"),
        Turn::new(Role::Assistant, "Ein Hund."),
        Turn::new(Role::User, "{{ bos_token }}"),
    ];
    let _ = template.render(&turns, true);
    let _ = template.render(&turns[1..3], false);
});
