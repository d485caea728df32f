-- Functions of the rollups that raise no error for any accepted value.

-- Divides a total by a number of points. PostgreSQL raises an error if the quotient of a nonzero
-- float8 underflows, so a total that small yields 0. Aggregates do not raise on underflow. Sums,
-- differences and products with an integer cannot underflow.
CREATE FUNCTION per_point(total float8, count int8) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN abs(total) < 1e-300 THEN 0 ELSE total / count END;

-- Returns the leading 24 bits of a value. Their sums and products are exact in a float8. A variance
-- computed from leading bits and small rests therefore keeps its precision for values like
-- 1e9 + 0.1. The formula holds for any split, so the leading bits are 0 outside the range of a
-- float4, and the rest is the value itself.
CREATE FUNCTION leading_bits(value float8) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN abs(value) BETWEEN 1e-30 AND 1e30 THEN value::float4::float8 ELSE 0 END;

-- Combines variances of parts into the population variance of the whole. Uses the pairwise formula
-- of Chan, Golub and LeVeque, like PostgreSQL's parallel aggregation. A part is
-- ARRAY[count, sum, sum of squared deviations].
CREATE AGGREGATE combine_variance (float8[]) (
    SFUNC = float8_combine,
    STYPE = float8[],
    INITCOND = '{0,0,0}',
    FINALFUNC = float8_var_pop,
    COMBINEFUNC = float8_combine,
    PARALLEL = SAFE
);
