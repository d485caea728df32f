-- A value's leading 24 bits. Sums and products of these are exact in a float8, so that a variance can be computed from them
-- and the small rest without the loss that values like 1e9 + 0.1 otherwise bring. Any function would do as far as the
-- formula goes; outside the range of a float4 it is 0, and the rest is the value itself.
CREATE FUNCTION leading_bits(value float8) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN abs(value) BETWEEN 1e-30 AND 1e30 THEN value::float4::float8 ELSE 0 END;

-- Combines variances of parts into the population variance of the whole, by the pairwise formula of Chan, Golub and
-- LeVeque as PostgreSQL's own parallel aggregation has it. A part is ARRAY[count, sum, sum of squared deviations].
CREATE AGGREGATE combine_variance (float8[]) (
    SFUNC = float8_combine,
    STYPE = float8[],
    INITCOND = '{0,0,0}',
    FINALFUNC = float8_var_pop,
    COMBINEFUNC = float8_combine,
    PARALLEL = SAFE
);
