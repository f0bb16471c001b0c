//! The bounds of what the collector waits for: below them it would take away what somebody still needs.

use super::*;

/// Each setting with the values right outside of its bounds, and those at them.
#[test]
fn the_collector_takes_no_time_out_of_its_bounds() {
    for (key, takes, refused, taken) in [
        ("gc.shown", "a time from 1h to 30d", &["59m", "31d"][..], ["1h", "30d"]),
        ("gc.margin", "a time from 24h to 30d", &["23h", "31d"], ["24h", "30d"]),
        ("gc.byte_grace", "a time from 1h to 365d", &["59m", "366d"], ["1h", "365d"]),
        ("gc.trash_window", "a time from 0s to 365d", &["366d"], ["0s", "365d"]),
        ("gc.scrub_interval", "a time from 0s to 3650d", &["3651d"], ["0s", "3650d"]),
        ("gc.scrub_bytes", "a size from 1MiB to 65536MiB", &["1023KiB", "65537MiB"], ["1MiB", "65536MiB"]),
        ("gc.compare_interval", "a time from 0s to 30d", &["31d"], ["0s", "30d"]),
        ("gc.retention_interval", "a time from 0s to 30d", &["31d"], ["0s", "30d"]),
        ("uploads.expiry", "a time from 10m to 30d", &["9m", "31d"], ["10m", "30d"]),
    ] {
        for value in refused {
            let text = format!("{key} = \"{value}\"");
            let expected = format!("`{value}` is not accepted for `{key}`: it takes {takes}");
            file_is_refused(&text, &format!("hallmark.toml:1:{}: {expected}", column_of_the_key(&text)));
        }
        for value in taken {
            Start::new().file(&format!("{key} = \"{value}\"")).config();
        }
    }
    for rate in [0, 1_000_001] {
        let text = format!("gc.retention_rate = {rate}");
        let expected = "is not accepted for `gc.retention_rate`: it takes a number a minute from 1 to 1000000";
        file_is_refused(&text, &format!("hallmark.toml:1:{}: `{rate}` {expected}", column_of_the_key(&text)));
    }
}
