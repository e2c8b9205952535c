/* SPDX-License-Identifier: ISC */
/* See date.h. */
#include "common/date.h"

#include <stdio.h>

#include "common/digits.h"

static bool
is_leap(int64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* The number that starts at text[at]; -1: not so many digits. */
static int64_t
digits_at(const char *text, size_t n, size_t at, size_t count)
{
	int64_t value = 0;

	if (at > n || n - at < count)
		return -1;
	for (size_t i = at; i < at + count; i++) {
		if (!digits_is(text[i]))
			return -1;
		value = value * 10 + (text[i] - '0');
	}
	return value;
}

/* Days from 1970 to the first of a year of four digits. */
static int64_t
days_before_year(int64_t year)
{
	int64_t y = year - 1;

	return (year - 1970) * 365 + (y / 4 - 492) - (y / 100 - 19) +
	    (y / 400 - 4);
}

static int64_t
days_of_month(int64_t year, int64_t month)
{
	static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31,
		30, 31 };

	return days[month - 1] + (month == 2 && is_leap(year) ? 1 : 0);
}

/* "Z" or "+01:00" at text[at], to its end; false: neither. */
static bool
read_zone(const char *text, size_t n, size_t at, int64_t *seconds)
{
	int64_t hours, minutes;

	*seconds = 0;
	if (at < n && (text[at] == 'Z' || text[at] == 'z'))
		return at + 1 == n;
	hours = digits_at(text, n, at + 1, 2);
	minutes = digits_at(text, n, at + 4, 2);
	if (n - at != 6 || (text[at] != '+' && text[at] != '-') ||
	    text[at + 3] != ':' || hours < 0 || hours > 23 || minutes < 0 ||
	    minutes > 59)
		return false;
	*seconds = (hours * 60 + minutes) * 60;
	if (text[at] == '-')
		*seconds = -*seconds;
	return true;
}

static bool
read_day(const char *text, size_t n, int64_t *days)
{
	int64_t year = digits_at(text, n, 0, 4);
	int64_t month = digits_at(text, n, 5, 2);
	int64_t day = digits_at(text, n, 8, 2);

	if (year < 1970 || month < 1 || month > 12 || day < 1 ||
	    text[4] != '-' || text[7] != '-' ||
	    day > days_of_month(year, month))
		return false;
	*days = days_before_year(year) + day - 1;
	for (int64_t m = 1; m < month; m++)
		*days += days_of_month(year, m);
	return true;
}

bool
date_read(const char *text, size_t n, int64_t *seconds)
{
	int64_t days, hour, minute, second, zone;
	size_t at = 19;

	if (n < 20 || !read_day(text, n, &days) ||
	    (text[10] != 'T' && text[10] != 't') || text[13] != ':' ||
	    text[16] != ':')
		return false;
	hour = digits_at(text, n, 11, 2);
	minute = digits_at(text, n, 14, 2);
	second = digits_at(text, n, 17, 2); /* 60: a leap second */
	if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 ||
	    second > 60)
		return false;
	if (text[at] == '.') {
		for (at++; at < n && digits_is(text[at]); at++)
			;
		if (at == 20)
			return false;
	}
	if (at >= n || !read_zone(text, n, at, &zone))
		return false;
	*seconds = ((days * 24 + hour) * 60 + minute) * 60 + second - zone;
	return *seconds >= 0 &&
	    *seconds < days_before_year(10000) * INT64_C(86400);
}

void
date_write(int64_t seconds, char out[DATE_SIZE])
{
	int64_t days = seconds / 86400, rest = seconds % 86400;
	int64_t year = 1970 + days / 366, month = 1;

	while (days >= days_before_year(year + 1))
		year++;
	days -= days_before_year(year);
	while (days >= days_of_month(year, month))
		days -= days_of_month(year, month++);
	(void)snprintf(out, DATE_SIZE, "%04u-%02u-%02uT%02u:%02u:%02uZ",
	    (unsigned)year % 10000, (unsigned)month % 100,
	    (unsigned)(days + 1) % 100, (unsigned)(rest / 3600) % 100,
	    (unsigned)(rest / 60 % 60) % 100, (unsigned)(rest % 60) % 100);
}

void
date_write_mail(int64_t seconds, int32_t east_s, char out[DATE_MAIL_SIZE])
{
	static const char days[] = "ThuFriSatSunMonTueWed"; /* of 1970 */
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	int32_t east = east_s / 60 % (24 * 60), size = east < 0 ? -east : east;
	char date[DATE_SIZE];
	int month;

	if (seconds + east * 60 < 0)
		east = size = 0;
	seconds += east * 60;
	date_write(seconds, date);
	month = (date[5] - '0') * 10 + date[6] - '0';
	(void)snprintf(out, DATE_MAIL_SIZE,
	    "%.3s, %.2s %.3s %.4s %.8s %c%02u%02u",
	    days + 3 * (seconds / 86400 % 7), date + 8,
	    months + 3 * (month - 1), date, date + 11, east < 0 ? '-' : '+',
	    (unsigned)(size / 60) % 100, (unsigned)(size % 60));
}
