// The program that the exec row of C++ starts.
#include <iostream>

int main()
{
	return std::cout.good() ? 0 : 1;
}
