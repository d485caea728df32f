//! Microseconds since the Unix epoch as `timestamptz`, without a calendar conversion: encoding only
//! shifts the eight bytes on the wire by the difference of the epochs.

use chrono::{DateTime, Utc};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{
    PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueFormat, PgValueRef, Postgres,
};
use sqlx::{Decode, Encode, Type};

/// PostgreSQL's epoch, 2000-01-01, in microseconds since the Unix epoch.
pub const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// A time in microseconds since the Unix epoch, as a parameter or a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Micros(pub i64);

impl Type<Postgres> for Micros {
    fn type_info() -> PgTypeInfo {
        // This type has a fixed OID. A type given by name would cost a catalogue query.
        <DateTime<Utc> as Type<Postgres>>::type_info()
    }
}

impl PgHasArrayType for Micros {
    fn array_type_info() -> PgTypeInfo {
        <DateTime<Utc> as PgHasArrayType>::array_type_info()
    }
}

impl Encode<'_, Postgres> for Micros {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let wire =
            self.0.checked_sub(POSTGRES_EPOCH).ok_or("time is outside the range of timestamptz")?;
        <i64 as Encode<'_, Postgres>>::encode_by_ref(&wire, buffer)
    }
}

impl Decode<'_, Postgres> for Micros {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        if value.format() != PgValueFormat::Binary {
            return Err("timestamptz is read in binary format only".into());
        }
        let wire = i64::from_be_bytes(value.as_bytes()?.try_into()?);
        Ok(Self(wire.checked_add(POSTGRES_EPOCH).ok_or("time is infinite")?))
    }
}
