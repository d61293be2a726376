//! `{% generation %} … {% endgeneration %}`, by which transformers marks what an assistant says.

/// The template with those tags as `{% if true %} … {% endif %}`: they print what they hold. The
/// loss mask is found without them, because most templates lack them.
pub(super) fn accept(source: &str) -> String {
    let mut accepted = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start);
        accepted.push_str(before);
        let Some(length) = tag.find("%}").map(|end| end + 2) else {
            break;
        };
        let (tag, after) = tag.split_at(length);
        let word = tag[2..length - 2].trim_matches(['-', '+']).trim();
        match word {
            "generation" => accepted.push_str(&tag.replacen(word, "if true", 1)),
            "endgeneration" => accepted.push_str(&tag.replacen(word, "endif", 1)),
            _ => accepted.push_str(tag),
        }
        rest = after;
    }
    accepted.push_str(rest);
    accepted
}

#[cfg(test)]
mod tests {
    use super::accept;

    #[test]
    fn keeps_whitespace_control_and_every_other_tag() {
        let source =
            "{%- generation -%}{{ x }}{%endgeneration%}{% if a %}generation{% endif %}{% broken";
        let expected = "{%- if true -%}{{ x }}{%endif%}{% if a %}generation{% endif %}{% broken";
        assert_eq!(accept(source), expected);
    }
}
