//! Whether values fit the schemas of the description.

use serde_json::Value;

/// What a part of the description stands for: itself, or the part that it refers to.
pub(crate) fn resolved<'a>(document: &'a Value, part: &'a Value) -> &'a Value {
    match part["$ref"].as_str() {
        Some(name) => {
            let target = document.pointer(name.strip_prefix('#').unwrap());
            resolved(document, target.expect("a part of that name"))
        }
        None => part,
    }
}

/// What of a value is not as a schema says; the part of JSON Schema that the description uses, and no more.
pub(crate) fn wrong(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let known = [
        "$ref",
        "additionalProperties",
        "default",
        "description",
        "enum",
        "format",
        "items",
        "maximum",
        "minItems",
        "minimum",
        "oneOf",
        "properties",
        "required",
        "type",
    ];
    for key in schema.as_object().expect("a schema").keys() {
        assert!(known.contains(&key.as_str()), "`{key}` is not checked here");
    }
    if schema["$ref"].is_string() {
        return wrong(document, resolved(document, schema), value, at);
    }
    if let Some(ways) = schema["oneOf"].as_array() {
        let tried: Vec<_> = ways.iter().map(|way| wrong(document, way, value, at)).collect();
        return match tried.iter().filter(|problems| problems.is_empty()).count() {
            1 => Vec::new(),
            n => vec![format!("{at}: {n} ways fit: {tried:?}")],
        };
    }
    let mut problems = Vec::new();
    let is = |name: &Value| match name.as_str().unwrap() {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "null" => value.is_null(),
        other => panic!("no type `{other}`"),
    };
    let fits = match &schema["type"] {
        Value::Null => true,
        Value::Array(types) => types.iter().any(is),
        one => is(one),
    };
    if !fits {
        return vec![format!("{at}: {value} is not {}", schema["type"])];
    }
    if schema["enum"]
        .as_array()
        .is_some_and(|allowed| !allowed.contains(value))
    {
        problems.push(format!("{at}: {value} is none of {}", schema["enum"]));
    }
    let number = value.as_i64().map(i128::from).or(value.as_u64().map(i128::from));
    for (bound, is_kept) in [("minimum", i128::ge as fn(&i128, &i128) -> bool), ("maximum", i128::le)] {
        let bound = schema[bound]
            .as_i64()
            .map(i128::from)
            .or(schema[bound].as_u64().map(i128::from));
        if let (Some(number), Some(bound)) = (number, bound)
            && !is_kept(&number, &bound)
        {
            problems.push(format!("{at}: {number} is beyond {bound}"));
        }
    }
    if let Some(map) = value.as_object() {
        for name in schema["required"].as_array().into_iter().flatten() {
            if !map.contains_key(name.as_str().unwrap()) {
                problems.push(format!("{at}: {name} is missing"));
            }
        }
        for (name, member) in map {
            let at = format!("{at}.{name}");
            match (&schema["properties"][name], &schema["additionalProperties"]) {
                (Value::Null, Value::Null | Value::Bool(true)) => {}
                (Value::Null, Value::Bool(false)) => problems.push(format!("{at} is not described")),
                (Value::Null, all) => problems.extend(wrong(document, all, member, &at)),
                (own, _) => problems.extend(wrong(document, own, member, &at)),
            }
        }
    }
    for (n, item) in value.as_array().into_iter().flatten().enumerate() {
        problems.extend(wrong(document, &schema["items"], item, &format!("{at}[{n}]")));
    }
    problems
}
