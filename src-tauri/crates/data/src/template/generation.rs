//! `{% generation %} … {% endgeneration %}`, by which transformers marks what an assistant says.

/// The template with those tags as `{% if true %} … {% endif %}`: they print what they hold. The
/// loss mask is found without them, because most templates lack them.
pub(super) fn accept(source: &str) -> String {
    let mut accepted = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        // A tag ends behind its beginning: `{%}` is no tag.
        let Some(length) = rest[start + 2..].find("%}") else {
            break;
        };
        let (before, tag) = rest.split_at(start);
        let (tag, after) = tag.split_at(length + 4);
        accepted.push_str(before);
        let word = tag[2..length + 2].trim_matches(['-', '+']).trim();
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

    #[test]
    fn what_is_no_tag_is_kept_once() {
        for source in [
            "{%}",
            "a {%} b",
            "x {% broken",
            "{%}{% x",
            "{%%}",
            "a {% b %} c {%",
        ] {
            assert_eq!(accept(source), source);
        }
    }
}
