/* printf-style formatting into a bounded buffer (C23, 7.23.6.1, without floating point). */
#include <nos/string.h>

struct output {
	char *to;
	size_t size; /* of the buffer */
	size_t length; /* of the whole text, even what did not fit */
};

struct directive {
	bool left, zero, plus, space, alternate, upper, is_negative;
	int width, precision; /* precision −1: none given */
	unsigned base;
	unsigned size; /* bytes of an integer argument */
};

static void output_char(struct output *o, char c)
{
	if (o->length < o->size)
		o->to[o->length] = c;
	o->length++;
}

static void output_fill(struct output *o, char c, int n)
{
	while (n-- > 0)
		output_char(o, c);
}

static void output_text(struct output *o, const char *s, size_t len, const struct directive *d)
{
	int padding = d->width - (int)len;

	if (!d->left)
		output_fill(o, ' ', padding);
	for (size_t i = 0; i < len; i++)
		output_char(o, s[i]);
	if (d->left)
		output_fill(o, ' ', padding);
}

static void output_number(struct output *o, u64 value, const struct directive *d)
{
	char digits[24], prefix[3];
	int nr_digits = 0, nr_prefix = 0;
	const char *set = d->upper ? "0123456789ABCDEF" : "0123456789abcdef";
	bool nonzero = value != 0;

	while (value) {
		digits[nr_digits++] = set[value % d->base];
		value /= d->base;
	}
	if (d->is_negative)
		prefix[nr_prefix++] = '-';
	else if (d->plus)
		prefix[nr_prefix++] = '+';
	else if (d->space)
		prefix[nr_prefix++] = ' ';
	if (d->alternate && d->base == 16 && nonzero) {
		prefix[nr_prefix++] = '0';
		prefix[nr_prefix++] = d->upper ? 'X' : 'x';
	}

	int least = d->precision < 0 ? 1 : d->precision;

	if (d->alternate && d->base == 8 && least <= nr_digits)
		least = nr_digits + 1;
	if (d->zero && !d->left && d->precision < 0)
		least = max(least, d->width - nr_prefix);

	int zeros = max(least - nr_digits, 0);
	int padding = d->width - nr_prefix - zeros - nr_digits;

	if (!d->left)
		output_fill(o, ' ', padding);
	for (int i = 0; i < nr_prefix; i++)
		output_char(o, prefix[i]);
	output_fill(o, '0', zeros);
	while (nr_digits)
		output_char(o, digits[--nr_digits]);
	if (d->left)
		output_fill(o, ' ', padding);
}

static const char *parse_flags(const char *f, struct directive *d)
{
	for (;; f++) {
		switch (*f) {
		case '-':
			d->left = true;
			break;
		case '0':
			d->zero = true;
			break;
		case '+':
			d->plus = true;
			break;
		case ' ':
			d->space = true;
			break;
		case '#':
			d->alternate = true;
			break;
		default:
			return f;
		}
	}
}

static const char *parse_decimal(const char *f, int *value)
{
	int v = 0;

	while (*f >= '0' && *f <= '9' && v < 100000)
		v = v * 10 + (*f++ - '0');
	*value = v;
	return f;
}

static const char *parse_size(const char *f, struct directive *d)
{
	d->size = 4;
	if (*f == 'h') {
		f++;
		d->size = 2;
		if (*f == 'h') {
			f++;
			d->size = 1;
		}
	} else if (*f == 'l' || *f == 'z' || *f == 't' || *f == 'j') {
		if (f[0] == 'l' && f[1] == 'l')
			f++;
		f++;
		d->size = 8;
	}
	return f;
}

/* va_list is passed wrapped: as an array type it can't be handed on by address otherwise. */
struct arguments {
	va_list list;
};

static void output_signed(struct output *o, struct arguments *a, struct directive *d)
{
	s64 v = d->size == 8 ? va_arg(a->list, s64) : va_arg(a->list, int);

	if (d->size == 2)
		v = (s16)v;
	else if (d->size == 1)
		v = (s8)v;
	d->is_negative = v < 0;
	d->base = 10;
	output_number(o, v < 0 ? 0 - (u64)v : (u64)v, d);
}

static void output_unsigned(struct output *o, struct arguments *a, struct directive *d)
{
	u64 v = d->size == 8 ? va_arg(a->list, u64) : va_arg(a->list, unsigned);

	if (d->size == 2)
		v = (u16)v;
	else if (d->size == 1)
		v = (u8)v;
	d->plus = d->space = false;
	output_number(o, v, d);
}

static void output_string(struct output *o, const char *s, const struct directive *d)
{
	if (!s)
		s = "(null)";
	output_text(o, s, d->precision < 0 ? strlen(s) : strnlen(s, (size_t)d->precision), d);
}

/* One conversion; f points behind the '%'.  Returns where the text goes on. */
static const char *output_directive(struct output *o, const char *f, struct arguments *a)
{
	struct directive d = { .precision = -1, .base = 10 };
	char c;

	f = parse_flags(f, &d);
	if (*f == '*') {
		d.width = va_arg(a->list, int);
		f++;
		if (d.width < 0) {
			d.left = true;
			d.width = -d.width;
		}
	} else {
		f = parse_decimal(f, &d.width);
	}
	if (*f == '.') {
		f++;
		if (*f == '*') {
			d.precision = va_arg(a->list, int);
			f++;
		} else {
			f = parse_decimal(f, &d.precision);
		}
	}
	f = parse_size(f, &d);
	switch (*f) {
	case 'd':
	case 'i':
		output_signed(o, a, &d);
		break;
	case 'X':
		d.upper = true;
		__attribute__((fallthrough));
	case 'x':
		d.base = 16;
		output_unsigned(o, a, &d);
		break;
	case 'o':
		d.base = 8;
		output_unsigned(o, a, &d);
		break;
	case 'u':
		output_unsigned(o, a, &d);
		break;
	case 'p':
		d.base = 16;
		d.size = 8;
		d.alternate = true;
		output_unsigned(o, a, &d);
		break;
	case 'c':
		c = (char)va_arg(a->list, int);
		output_text(o, &c, 1, &d);
		break;
	case 's':
		output_string(o, va_arg(a->list, const char *), &d);
		break;
	case '%':
		output_char(o, '%');
		break;
	case '\0':
		return f;
	default: /* unknown: shown as it stands */
		output_char(o, '%');
		output_char(o, *f);
	}
	return f + 1;
}

int vsnprintf(char *to, size_t size, const char *format, va_list args)
{
	struct output o = { .to = to, .size = size };
	struct arguments a;

	va_copy(a.list, args);
	while (*format) {
		if (*format == '%')
			format = output_directive(&o, format + 1, &a);
		else
			output_char(&o, *format++);
	}
	va_end(a.list);
	if (size)
		to[min(o.length, size - 1)] = '\0';
	return (int)o.length;
}

int snprintf(char *to, size_t size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int n = vsnprintf(to, size, format, args);
	va_end(args);
	return n;
}
