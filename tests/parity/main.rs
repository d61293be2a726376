//! Attune computes what transformers and PEFT compute.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod difference;
mod fixture;
mod table;

#[test]
fn recordings_are_complete() {
    let mut table = table::Table::default();
    for family in fixture::FAMILIES {
        let fixture = fixture::Fixture::load(family);
        table.row(family);
        table.add(
            "logits",
            difference::of_tensors(&fixture.logits("logits"), &fixture.logits("lora.logits")),
        );
        table.add(
            "lora",
            difference::of_named(
                &fixture.tensors("lora.trained"),
                &fixture.tensors("lora.gradient"),
            ),
        );
    }
    use std::io::Write as _;
    std::io::stdout()
        .write_all(table.markdown().as_bytes())
        .unwrap();
}
