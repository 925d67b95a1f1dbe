//! Exchanges in Feast's form. The expected texts are written by its rules (`feature_server_utils`
//! and `online_stores/remote` of its Python package), not by this code.

use super::*;
use crate::serve::fixture::Fixture;

async fn ask(body: &str) -> Result<String> {
    online_features(&Fixture::default(), body.as_bytes()).await
}

#[tokio::test]
async fn entities_come_first_then_the_columns_of_each_view_in_order_of_mention() {
    let body = r#"{"features": ["pair:big", "user spend/é:mean", "pair:n"],
        "entities": {"shop": ["north", "a\"b", "x"], "id": [1, 0, "-2"]},
        "include_feature_view_version_metadata": false}"#;
    let answer = ask(body).await.unwrap();
    let zero = "\"1970-01-01T00:00:00Z\"";
    let times = format!("[\"1970-01-01T00:00:00.500Z\",{zero},{zero}]");
    let zeros = format!("[{zero},{zero},{zero}]");
    let known = "[\"PRESENT\",\"PRESENT\",\"PRESENT\"]";
    let found = "[\"PRESENT\",\"NOT_FOUND\",\"OUTSIDE_MAX_AGE\"]";
    let result = |values: &str, statuses: &str, times: &str| {
        format!("{{\"values\":{values},\"statuses\":{statuses},\"event_timestamps\":{times}}}")
    };
    let results = [
        result(r#"["north","a\"b","x"]"#, known, &zeros),
        result("[1,0,-2]", known, &zeros),
        result(r#"["Infinity",null,null]"#, found, &times),
        result("[2,0,-4]", found, &times),
        result(r#"["NaN","NaN","NaN"]"#, found, &times),
    ];
    let expected = format!(
        "{{\"metadata\":{{\"feature_names\":[\"shop\",\"id\",\"big\",\"n\",\"mean\"]}},\
         \"results\":[{}]}}",
        results.join(",")
    );
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn full_names_carry_the_view_and_settle_collisions() {
    let body = |full: bool| {
        format!(
            "{{\"features\":[\"pair:n\"],\"entities\":{{\"id\":[1],\"shop\":[\"s\"]}},\
             \"full_feature_names\":{full},\"feature_service\":null}}"
        )
    };
    assert!(ask(&body(true)).await.unwrap().contains("[\"id\",\"shop\",\"pair__n\"]"));
    assert!(ask(&body(false)).await.unwrap().contains("[\"id\",\"shop\",\"n\"]"));
}

#[tokio::test]
async fn requests_that_mean_nothing_say_what_is_wrong() {
    let entities = r#""entities": {"id": [1], "shop": ["s"]}"#;
    for (body, says) in [
        ("", "not JSON as expected"),
        ("[]", "not JSON as expected"),
        ("{\"features\": [\"pair:n\"]", "not JSON as expected"),
        ("{\"features\": [\"pair:n\"]} x", "not JSON as expected"),
        ("{\"entities\": {\"id\": [1]}}", "no features"),
        ("{\"features\": [\"pair\"]}", "'pair' is not a reference"),
        ("{\"features\": [7]}", "'7' is not a reference"),
        ("{\"features\": {\"pair\": 1}}", "not a list"),
        ("{\"features\": [\"pair:n\"], \"entities\": {\"id\": 1}}", "'id' is not a list"),
        ("{\"features\": [\"pair:n\"], \"entities\": {\"id\": [1, null]}}", "value 1 is null"),
        ("{\"features\": [\"pair:n\"], \"entities\": {\"id\": [1]}}", "no entities 'shop'"),
        (
            "{\"features\": [\"pair:n\"], \"entities\": {\"id\": [1, 2], \"shop\": [\"s\"]}}",
            "'shop' has 1 values and 'id' has 2",
        ),
        (&format!("{{\"features\": [\"pair:n\", \"pair:n\"], {entities}}}"), "asked for twice"),
        (&format!("{{\"features\": [\"pair:m\"], {entities}}}"), "pair has no column 'm'"),
        (&format!("{{\"features\": [\"pear:n\"], {entities}}}"), "no feature 'pear'"),
        (&format!("{{\"features\": [\"user spend/é:mean\"], {entities}}}"), "'shop' is of no"),
        (&format!("{{\"feature_service\": \"f\", {entities}}}"), "feature services"),
    ] {
        let error = ask(body).await.unwrap_err();
        assert!(error.message().contains(says), "{body}: {error}");
    }
    let error = ask(&format!("{{\"features\": [\"pear:n\"], {entities}}}")).await.unwrap_err();
    assert_eq!(error.hint(), Some("did you mean 'pair'?"));
}

#[tokio::test]
async fn too_many_entities_are_refused_before_anything_is_read() {
    let ids = vec!["1"; ENTITIES_MAX + 1].join(",");
    let body = format!("{{\"features\":[\"user spend/é:mean\"],\"entities\":{{\"id\":[{ids}]}}}}");
    let error = ask(&body).await.unwrap_err();
    assert!(error.message().starts_with("10001 entities"), "{error}");
}
