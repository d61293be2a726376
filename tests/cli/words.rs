//! Snapshots of what a person reads, without what differs from run to run and machine to machine.

/// Compares what a person saw with the snapshot of this name.
#[track_caller]
pub fn assert_words(name: &str, seen: &str) {
    let filters = [
        (r"\d+ min \d+ s\b|\d+(\.\d)? s\b", "[time]"),
        (r"\d+(\.\d+)? (B|kB|MB|GB|TB)\b", "[size]"),
        (r"\d+( \d+)* tok/s", "[rate] tok/s"),
        // Random weights answer at random, and add up differently on another processor.
        (r"-?\d+\.\d{3,}", "[number]"),
        (r"(?m)^  answered .*", "  answered  [answer]"),
        // Columns are as wide as what was replaced.
        (r"(\S) {2,}", "$1  "),
    ];
    insta::with_settings!({ filters => filters, prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name.replace(' ', "-"), seen);
    });
}
