//! `attune` as a process: what it prints, what it returns, what it leaves behind.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod place;

use place::{Place, train};

#[test]
fn probe() {
    let place = Place::with_orders();
    for line in ["doctor", "data list", "data show orders", "data check orders.jsonl --model model", "models list", "models add model", "models inspect model", "experiments list", &train(8), "experiments list", "experiments show run",
        "evaluate --experiment run --rows --max-new-tokens 8", "score --model model --tokens 1,2,3", "score --model model --text hi --json", "chat --experiment run --prompt hi --max-new-tokens 8", "export --experiment run --to out", "settings lora_r", "settings", "starter", "demo", "data remove orders --yes", "experiments delete run", "experiments delete run --yes"] {
        println!("$ attune {line}\n{}", place.attune(line).seen());
    }
}
