//! Places on the earth, in degrees. A place that is none fails.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, StringArray};
use arrow::datatypes::{Float64Type, Int64Type};

use super::failed;
use crate::error::Result;

/// Mean radius of the earth in km (IUGG).
const RADIUS_KM: f64 = 6371.0088;

fn check(latitude: f64, longitude: f64) -> Result<()> {
    if (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude) {
        return Ok(());
    }
    Err(failed(format!("there is no place at latitude {latitude}, longitude {longitude}")))
}

/// The formula of haversines on a sphere, in DOUBLE; its error against the ellipsoid is below
/// 0.6 %. (R. W. Sinnott, Virtues of the Haversine, 1984.)
pub fn haversine(args: &[ArrayRef]) -> Result<ArrayRef> {
    let columns = [0, 1, 2, 3].map(|i| args[i].as_primitive::<Float64Type>());
    let distance = |row: usize| {
        if columns.iter().any(|column| column.is_null(row)) {
            return Ok(None);
        }
        let [lat1, lon1, lat2, lon2] = columns.map(|column| column.value(row));
        check(lat1, lon1)?;
        check(lat2, lon2)?;
        let [a, b, c, d] = [lat1, lon1, lat2, lon2].map(f64::to_radians);
        let (up, along) = (((c - a) / 2.0).sin(), ((d - b) / 2.0).sin());
        let part = up * up + a.cos() * c.cos() * along * along;
        Ok(Some(2.0 * RADIUS_KM * part.sqrt().min(1.0).asin()))
    };
    Ok(Arc::new((0..args[0].len()).map(distance).collect::<Result<Float64Array>>()?))
}

const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";

/// Halves of the longitude and the latitude in turn, five to a character (G. Niemeyer, 2008).
pub fn geohash(args: &[ArrayRef]) -> Result<ArrayRef> {
    let [lat, lon] = [0, 1].map(|i| args[i].as_primitive::<Float64Type>());
    let lengths = args[2].as_primitive::<Int64Type>();
    let hash = |row: usize| {
        if lat.is_null(row) || lon.is_null(row) || lengths.is_null(row) {
            return Ok(None);
        }
        let (latitude, longitude) = (lat.value(row), lon.value(row));
        check(latitude, longitude)?;
        let length = lengths.value(row);
        if !(1..=12).contains(&length) {
            return Err(failed(format!("a geohash of {length} characters: expected 1 to 12")));
        }
        Ok(Some(cell(latitude, longitude, length as usize)))
    };
    Ok(Arc::new((0..args[0].len()).map(hash).collect::<Result<StringArray>>()?))
}

fn cell(latitude: f64, longitude: f64, length: usize) -> String {
    let mut ranges = [(-180.0, 180.0), (-90.0, 90.0)];
    let mut text = String::with_capacity(length);
    let mut side = 0;
    for _ in 0..length {
        let mut digit = 0;
        for _ in 0..5 {
            let (low, high) = ranges[side];
            let middle = (low + high) / 2.0;
            let upper = if side == 0 { longitude >= middle } else { latitude >= middle };
            ranges[side] = if upper { (middle, high) } else { (low, middle) };
            digit = digit << 1 | usize::from(upper);
            side = 1 - side;
        }
        text.push(char::from(ALPHABET[digit]));
    }
    text
}
