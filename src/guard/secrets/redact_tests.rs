use super::*;

/// Made here from pieces, so that no scanner takes this file for a leak.
fn samples() -> Vec<(&'static str, String)> {
    let r = |length: usize| {
        "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA"
            .chars()
            .cycle()
            .take(length)
            .collect::<String>()
    };
    let hex = |length: usize| {
        "0a1b2c3d4e5f6789"
            .chars()
            .cycle()
            .take(length)
            .collect::<String>()
    };
    vec![
        ("anthropic-key", format!("sk-ant-api03-{}", r(90))),
        ("openai-key", format!("sk-proj-{}", r(60))),
        ("openrouter-key", format!("sk-or-v1-{}", hex(64))),
        ("google-key", format!("AIza{}", r(35))),
        ("github-token", format!("ghp_{}", r(36))),
        ("github-token", format!("github_pat_{}", r(82))),
        ("gitlab-token", format!("glpat-{}", r(20))),
        ("aws-access-key", format!("AKIA{}", "ABCDEFGHIJKLMNOP")),
        ("slack-token", format!("xoxb-{}-{}", "123456789012", r(24))),
        ("stripe-key", format!("sk_live_{}", r(24))),
        ("npm-token", format!("npm_{}", r(36))),
        ("pypi-token", format!("pypi-AgEIcHlwaS5vcmc{}", r(60))),
        ("huggingface-token", format!("hf_{}", r(34))),
        ("vault-token", format!("hvs.{}", r(90))),
        ("sendgrid-key", format!("SG.{}.{}", r(22), r(43))),
        ("jwt", format!("eyJ{}.eyJ{}.{}", r(20), r(40), r(43))),
        (
            "private-key",
            format!(
                "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n{}\n-----END OPENSSH PRIVATE KEY-----",
                r(70),
                r(40)
            ),
        ),
    ]
}

#[test]
fn known_shapes_go_wherever_the_chunks_end() {
    let redactor = Redactor::new(&[], &[]).unwrap();
    for (name, secret) in samples() {
        let text = format!("before {secret} after\nmore\n");
        let wanted = format!("before [redacted:{name}] after\nmore\n");
        assert_eq!(redactor.redact(&text).0, wanted);
        for at in 0..text.len() {
            let mut stream = redactor.stream();
            let mut out = stream.push(&text[..at]);
            out.push_str(&stream.push(&text[at..]));
            let (rest, counts) = stream.finish();
            out.push_str(&rest);
            assert_eq!(out, wanted, "cut at {at}");
            assert_eq!(counts, BTreeMap::from([(name.to_owned(), 1)]));
        }
    }
}

#[test]
fn only_the_value_of_an_assignment_goes_and_only_if_it_looks_random() {
    let redactor = Redactor::new(&[], &[]).unwrap();
    let text = "password = \"x7Gq2LmP9zR4tW8v\"\ntoken: get_token_from_environment()\nurl = postgres://u:hunter22@h/db\n\
                Authorization: Bearer abcdefghij0123456789KLMN\n";
    assert_eq!(
        redactor.redact(text).0,
        "password = \"[redacted:assigned-secret]\"\ntoken: get_token_from_environment()\nurl = postgres://u:[redacted:url-password]@h/db\n\
         Authorization: Bearer [redacted:authorization]\n"
    );
}

#[test]
fn given_values_go_in_every_form_and_allowed_ones_stay() {
    let values = [
        "se\"cret/value".to_owned(),
        "two\nlines of it".to_owned(),
        "short".to_owned(),
    ];
    let redactor = Redactor::new(&values, &[]).unwrap();
    let text = r#"plain se"cret/value json "se\"cret/value" short two"#.to_owned() + "\nlines of it\n";
    let wanted = r#"plain [redacted:given-value] json "[redacted:given-value]" short [redacted:given-value]"#
        .to_owned()
        + "\n";
    for at in 0..text.len() {
        let mut stream = redactor.stream();
        let parts = [
            stream.push(&text[..at]),
            stream.push(&text[at..]),
            stream.finish().0,
        ];
        assert_eq!(parts.concat(), wanted, "cut at {at}");
    }
    let allow = Redactor::new(&[], &["EXAMPLE$".to_owned()]).unwrap();
    let key = "AKIAIOSFODNN7EXAMPLE";
    assert_eq!(allow.redact(key).0, key);
    assert!(Redactor::new(&[], &["(".to_owned()]).is_err());
}

#[test]
fn a_line_without_end_is_not_held_for_ever() {
    let redactor = Redactor::new(&[], &[]).unwrap();
    let mut stream = redactor.stream();
    let secret = format!("ghp_{}", "aB3dE5gH7jK9".repeat(3));
    let mut out = String::new();
    for n in 0..400 {
        out.push_str(&stream.push(&"x ".repeat(500)));
        if n == 200 {
            out.push_str(&stream.push(&secret));
        }
        assert!(stream.held.len() <= HELD_CAP + 1024);
    }
    out.push_str(&stream.finish().0);
    assert!(!out.contains(&secret) && out.contains("[redacted:github-token]"));
}
